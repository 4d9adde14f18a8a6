//! HTTP with a client: HTTP/1.1 or HTTP/2, as was agreed on, with limits on what a slow or greedy client can hold.

use std::{convert::Infallible, io, sync::Arc};

use http::{HeaderName, Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Proxy,
    applications::{self, Visit},
    body::Body,
    hygiene, pages, web,
};

/// Requests at a time over one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Unread bytes of one request's body.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Unread bytes of all of a connection's.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Streams that a client may open and reset before we have looked at them (CVE-2023-44487).
const MAX_RESETS: usize = 32;

/// Header fields of a request.
const MAX_HEADERS: usize = 128;

/// Serves a client's connection to its end; at the visit's stop with the requests that run.
pub(crate) async fn serve<S>(proxy: &Arc<Proxy>, stream: S, is_http2: bool, visit: Visit) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = proxy.config.limits;
    let idle = if visit.shown.is_some() { limits.idle_deadline } else { limits.header_deadline };
    let visit = Arc::new(visit);
    let service = service_fn(|request| {
        let (proxy, visit) = (Arc::clone(proxy), Arc::clone(&visit));
        async move { Ok::<_, Infallible>(answer(&proxy, &visit, request).await) }
    });
    let io = TokioIo::new(stream);
    // Polled in place: the connection, and with it its requests, ends when this future is dropped.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = visit.stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            ended.map_err(io::Error::other)
        }};
    }
    if is_http2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(idle)
            .keep_alive_timeout(limits.header_deadline);
        run!(server.serve_connection(io, service))
    } else {
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(idle)
            .max_buf_size(limits.header_bytes.max(16 * 1024))
            .max_headers(MAX_HEADERS)
            .half_close(false);
        run!(server.serve_connection(io, service).with_upgrades())
    }
}

async fn answer(proxy: &Arc<Proxy>, visit: &Visit, request: Request<Incoming>) -> Response<Body> {
    let target = match hygiene::target(&request, visit.server_name.as_deref()) {
        Ok(target) => target,
        Err(status) => return pages::plain(status, format!("{status}\n")),
    };
    if proxy.view.names().is_application(&target.host) {
        Box::pin(applications::answer(proxy, visit, target, request)).await
    } else {
        let mut response = Box::pin(web::answer(proxy, visit, request)).await;
        const HSTS: HeaderName = http::header::STRICT_TRANSPORT_SECURITY;
        response.headers_mut().insert(HSTS, http::HeaderValue::from_static("max-age=31536000"));
        response
    }
}
