//! Joining through the proxy, for programs that have nothing but the address of its web port. The calls go on to the auth
//! service as the anonymous ones that they are, byte for byte, after our signed word about where they come from.

use std::{io, sync::Arc};

use crypto::tls::{AUTH_SERVER_NAME, ClientOptions, Trust, client_config};
use domain::Error;
use http::{
    HeaderName, Request, Response, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use crate::{Proxy, ends::Ends, forward, router::H2};

/// What is served.
const SERVICES: [&str; 2] = ["/proto.JoinService/", "/teleport.join.v1.JoinService/"];

/// What of a call's headers goes on: what gRPC is made of, and what the auth service reads of strangers.
const HEADERS: [HeaderName; 7] = [
    CONTENT_TYPE,
    TE,
    USER_AGENT,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("version"),
];

/// Unread bytes of an answer.
const WINDOW: u32 = 64 * 1024;

/// Whether a call is one of those.
pub(super) fn serves(path: &str) -> bool {
    SERVICES.iter().any(|service| path.starts_with(service))
}

/// The connection to the auth service that carries the calls of one client's connection; made with the first of them.
#[derive(Default)]
pub(super) struct Joining(Mutex<Option<SendRequest<Incoming>>>);

impl Joining {
    /// Carries a call to the auth service, and its answer back, as they come.
    pub(super) async fn forward(
        &self,
        proxy: &Arc<Proxy>,
        ends: Ends,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Error> {
        let mut sender = self.sender(proxy, ends).await.map_err(|error| {
            tracing::warn!(%error, "the auth service cannot be reached for somebody who wants to join");
            Error::unavailable("the auth service cannot be reached")
        })?;
        let (parts, body) = request.into_parts();
        let uri = Uri::builder().scheme("https").authority(AUTH_SERVER_NAME).path_and_query(parts.uri.path());
        let mut onward = Request::post(uri.build().map_err(|_| Error::invalid("the call's path cannot be read"))?);
        for name in HEADERS {
            if let Some(value) = parts.headers.get(&name) {
                onward = onward.header(name, value);
            }
        }
        let onward = onward.body(body).map_err(|_| Error::invalid("the call's headers cannot be read"))?;
        let answer = sender.send_request(onward).await;
        let answer = answer.map_err(|_| Error::unavailable("the connection to the auth service broke"))?;
        Ok(answer.map(Body::new))
    }

    async fn sender(&self, proxy: &Arc<Proxy>, ends: Ends) -> io::Result<SendRequest<Incoming>> {
        let mut slot = self.0.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let limit = proxy.config.limits.handshake_deadline;
        let connected = proxy.ports.clock.timeout(limit, Box::pin(connect(proxy, ends))).await;
        Ok(slot.insert(connected.map_err(|_| io::ErrorKind::TimedOut)??).clone())
    }
}

async fn connect(proxy: &Arc<Proxy>, ends: Ends) -> io::Result<SendRequest<Incoming>> {
    let authorities = proxy.host_authorities();
    let alpn = vec![proxy.auth_alpn.clone(), H2.to_vec()];
    let options = ClientOptions { trust: Trust::Roots(authorities), certificate: None, alpn };
    let config = client_config(options, &proxy.ports.clock).map_err(io::Error::other)?;
    let name = ServerName::try_from(AUTH_SERVER_NAME).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, forward::dial(proxy, ends).await?).await?;
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    proxy.tasks.spawn(async move {
        // Ends with the client's connection; an error reaches the calls that were under way.
        let _ = driver.await;
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_joining_goes_on() {
        for (path, expect) in [
            ("/proto.JoinService/RegisterUsingToken", true),
            ("/teleport.join.v1.JoinService/Join", true),
            ("/proto.AuthService/Ping", false),
            ("/proto.AuthService//proto.JoinService/RegisterUsingToken", false),
            ("/tessera.v1.RenewalService/Renew", false),
            ("/proto.JoinService", false),
            ("/", false),
        ] {
            assert_eq!(serves(path), expect, "{path}");
        }
    }
}
