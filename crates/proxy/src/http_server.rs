//! HTTP with a client: HTTP/1.1 or HTTP/2, as was agreed on, with limits on what a slow or greedy client can hold.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, STRICT_TRANSPORT_SECURITY},
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use net::BoxIo;

use crate::{
    Proxy,
    applications::{self, Visit},
    body::Body,
    cookies, hygiene, pages, web,
};

/// Requests at a time over one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Unread bytes of one request's body.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Unread bytes of all of a connection's.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// The same, of somebody whom we do not know: there may be thousands of them.
const STRANGERS_WINDOW: u32 = 256 * 1024;

/// Streams that a client may open and reset before we have looked at them (CVE-2023-44487).
const MAX_RESETS: usize = 32;

/// Header fields of a request: with those that we add, no more than the HTTP library reads without asking for memory.
const MAX_HEADERS: usize = 90;

/// Serves a client's connection to its end; at the visit's stop with the requests that run.
pub(crate) fn serve(
    proxy: &Arc<Proxy>,
    stream: BoxIo,
    is_http2: bool,
    visit: Visit,
) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
    let (proxy, visit) = (Arc::clone(proxy), Arc::new(visit));
    if is_http2 { Box::pin(http2(proxy, stream, visit)) } else { Box::pin(http1(proxy, stream, visit)) }
}

async fn http1(proxy: Arc<Proxy>, stream: BoxIo, visit: Arc<Visit>) -> io::Result<()> {
    let limits = proxy.config.limits;
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(idle_deadline(&proxy, &visit))
        .max_buf_size(limits.header_bytes.max(16 * 1024))
        .half_close(false);
    let connection = pin!(server.serve_connection(TokioIo::new(stream), service(&proxy, &visit)).with_upgrades());
    run(&proxy, &visit, connection, |connection| connection.graceful_shutdown()).await
}

async fn http2(proxy: Arc<Proxy>, stream: BoxIo, visit: Arc<Visit>) -> io::Result<()> {
    let limits = proxy.config.limits;
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(if visit.is_known { STREAM_WINDOW } else { STRANGERS_WINDOW })
        .initial_connection_window_size(if visit.is_known { CONNECTION_WINDOW } else { STRANGERS_WINDOW })
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(idle_deadline(&proxy, &visit))
        .keep_alive_timeout(limits.header_deadline);
    let connection = pin!(server.serve_connection(TokioIo::new(stream), service(&proxy, &visit)));
    run(&proxy, &visit, connection, |connection| connection.graceful_shutdown()).await
}

/// How long a client may be silent.
fn idle_deadline(proxy: &Proxy, visit: &Visit) -> Duration {
    let limits = &proxy.config.limits;
    if visit.is_known { limits.idle_deadline } else { limits.header_deadline }
}

fn service(
    proxy: &Arc<Proxy>,
    visit: &Arc<Visit>,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + use<> {
    let (proxy, visit) = (Arc::clone(proxy), Arc::clone(visit));
    service_fn(move |request| {
        let (proxy, visit) = (Arc::clone(&proxy), Arc::clone(&visit));
        async move { Ok(answer(&proxy, &visit, request).await) }
    })
}

/// Polled in place: the connection, and with it its requests, ends when this future is dropped.
async fn run<C: Future<Output = hyper::Result<()>>>(
    proxy: &Proxy,
    visit: &Visit,
    mut connection: Pin<&mut C>,
    shut_down: impl FnOnce(Pin<&mut C>),
) -> io::Result<()> {
    let mut over = pin!(visit.requests.is_over(proxy));
    let mut stopped = pin!(visit.stop.cancelled());
    let mut shut_down = Some(shut_down);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = over.as_mut() => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a session has ended"));
            }
            // What runs ends with its session until its last byte.
            () = stopped.as_mut(), if shut_down.is_some() => {
                if let Some(shut_down) = shut_down.take() {
                    shut_down(connection.as_mut());
                }
            }
        }
    };
    ended.map_err(io::Error::other)
}

async fn answer(proxy: &Arc<Proxy>, visit: &Visit, request: Request<Incoming>) -> Response<Body> {
    if !hygiene::has_one_length(request.headers()) {
        let mut response = pages::plain(StatusCode::BAD_REQUEST, "the request's length is not certain\n");
        // What follows may have been meant as a part of it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    if request.headers().len() > MAX_HEADERS {
        return pages::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many header fields\n");
    }
    let target = match hygiene::target(&request, visit.server_name.as_deref()) {
        Ok(target) => target,
        Err(status) => return pages::plain(status, format!("{status}\n")),
    };
    let mut response = if proxy.view.names().is_application(&target.host) {
        match request.uri().path() {
            cookies::EXCHANGE => Box::pin(cookies::exchange(proxy, &target, request)).await,
            cookies::LOGOUT => Box::pin(cookies::logout(proxy, visit, &target, &request)).await,
            _ => Box::pin(applications::answer(proxy, visit, target, request)).await,
        }
    } else {
        Box::pin(web::answer(proxy, visit, request)).await
    };
    // Where a name leads to this port, nothing but TLS is behind it; an application that says otherwise knows better.
    response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    response
}

/// A year, as browsers demand of those they remember from the start.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
