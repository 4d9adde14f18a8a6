//! The plain port, for HTTP-01 (RFC 8555 §8.3): it knows the answers to challenges, and leads everything else to TLS.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::LOCATION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::{BoxIo, Gate, Listener};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{Proxy, body::Body, hygiene, pages};

/// Where authorities look.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Connections at a time.
const MOST: usize = 256;

/// Connections that wait for a place.
const WAITING: usize = 1024;

/// How long one is let be while others wait and its address holds the most places.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one may stay. An answer is a line.
const STAYS: Duration = Duration::from_secs(15);

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the port until `stop`.
pub(crate) async fn accept(proxy: Arc<Proxy>, listener: Listener, stop: CancellationToken) {
    let gate = Gate::new(MOST, WAITING, PATIENCE, proxy.ports.clock.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (proxy, gate) = (Arc::clone(&proxy), gate.clone());
                    connections.spawn(async move {
                        let Ok(place) = proxy.place(&gate, peer.ip()).await else { return };
                        let clock = proxy.ports.clock.clone();
                        let served = clock.timeout(STAYS, Box::pin(connection(proxy, stream)));
                        let _ = place.leave().run_until_cancelled(served).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    proxy.ports.clock.sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn connection(proxy: Arc<Proxy>, stream: TcpStream) {
    let service = service_fn(|request| {
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(answer(&proxy, &request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(STAYS).max_buf_size(16 * 1024).keep_alive(false);
    let _ = server.serve_connection(TokioIo::new(Box::new(stream) as BoxIo), service).await;
}

async fn answer(proxy: &Proxy, request: &Request<Incoming>) -> Response<Body> {
    let target = match hygiene::target(request, None) {
        Ok(target) => target,
        Err(status) => return pages::plain(status, format!("{status}\n")),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return pages::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    let path = request.uri().path();
    if let Some(token) = path.strip_prefix(CHALLENGES) {
        return match super::challenge_of(proxy, &target.host).await {
            Some(challenge) if !token.is_empty() && challenge.token == token => {
                tracing::info!(name = target.host, "an ACME authority asks for this name");
                pages::answer(StatusCode::OK, "application/octet-stream", challenge.key_authorization)
            }
            _ => pages::plain(StatusCode::NOT_FOUND, "there is no such challenge\n"),
        };
    }
    let own = proxy.config.public_addresses.first();
    let is_ours = proxy.config.public_addresses.iter().any(|own| own.host == target.host);
    let Some(own) = own.filter(|_| is_ours || proxy.view.names().label(&target.host).is_some()) else {
        return pages::plain(StatusCode::NOT_FOUND, "this port leads to the proxy's own names\n");
    };
    let authority = crate::Address::new(target.host, own.port).authority();
    let rest = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut response = pages::plain(StatusCode::PERMANENT_REDIRECT, "this is spoken over TLS\n");
    if let Ok(location) = HeaderValue::from_str(&format!("https://{authority}{rest}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
