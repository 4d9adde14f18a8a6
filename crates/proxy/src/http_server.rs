//! HTTP with a client: HTTP/1.1 or HTTP/2, as was agreed on, with limits on what a slow or greedy client can hold.

use std::{convert::Infallible, io, sync::Arc};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY},
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

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

/// Header fields of a request.
const MAX_HEADERS: usize = 128;

/// Serves a client's connection to its end; at the visit's stop with the requests that run.
pub(crate) async fn serve<S>(proxy: &Arc<Proxy>, stream: S, is_http2: bool, visit: Visit) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = proxy.config.limits;
    // Anybody can make a certificate: what counts is one of ours.
    let is_known = visit.shown.as_ref().is_some_and(|shown| shown.is_ours(proxy));
    let idle = if is_known { limits.idle_deadline } else { limits.header_deadline };
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
                () = visit.requests.is_over(proxy) => {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a session has ended"));
                }
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
            .initial_stream_window_size(if is_known { STREAM_WINDOW } else { STRANGERS_WINDOW })
            .initial_connection_window_size(if is_known { CONNECTION_WINDOW } else { STRANGERS_WINDOW })
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
    if !hygiene::has_one_length(request.headers()) {
        let mut response = pages::plain(StatusCode::BAD_REQUEST, "the request's length is not certain\n");
        // What follows may have been meant as a part of it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return response;
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

/// Refuses each gRPC call by its name.
pub(crate) async fn refuse_grpc<S>(proxy: &Proxy, stream: S, stop: CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        let message = format!("this proxy does not serve {} yet", request.uri().path());
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(UNIMPLEMENTED));
        if let Ok(message) = HeaderValue::from_str(&message) {
            headers.insert("grpc-message", message);
        }
        Ok::<_, Infallible>(response)
    });
    let limits = proxy.config.limits;
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_deadline)
        .keep_alive_timeout(limits.header_deadline);
    tokio::select! {
        ended = server.serve_connection(TokioIo::new(stream), service) => ended.map_err(io::Error::other),
        () = stop.cancelled() => Ok(()),
    }
}

/// gRPC's code for it.
const UNIMPLEMENTED: &str = "12";

/// A year, as browsers demand of those they remember from the start.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
