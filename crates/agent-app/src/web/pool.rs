//! Connections to one application, kept open between requests.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client, Error,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use net::BoxIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::Body;
use crate::dial::{DialError, Dialler};

/// How long an unused connection is kept. Shorter than common servers do, so that they rarely close one first.
const IDLE: Duration = Duration::from_secs(45);

/// Unused connections that are kept.
const MOST_IDLE: usize = 64;

/// Unread bytes of one answer over HTTP/2.
const WINDOW: u32 = 1024 * 1024;

/// The connections to one application.
pub(crate) struct Pool {
    http1: Client<Connector, Body>,
    http2: Client<Connector, Body>,
}

impl Pool {
    pub(crate) fn new(dialler: &Dialler, port: u16) -> Self {
        let connector = |is_http2| Connector { dialler: dialler.clone(), port, is_http2 };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_max_idle_per_host(MOST_IDLE).pool_timer(TokioTimer::new());
        let http1 = builder.build(connector(false));
        builder
            .http2_only(true)
            .http2_initial_stream_window_size(WINDOW)
            .http2_initial_connection_window_size(4 * WINDOW);
        Self { http1, http2: builder.build(connector(true)) }
    }

    /// Sends a request; gRPC over HTTP/2, everything else over HTTP/1.1, which every application speaks.
    pub(crate) async fn send(&self, request: Request<Body>, is_http2: bool) -> Result<Response<Incoming>, Error> {
        if is_http2 { self.http2.request(request).await } else { self.http1.request(request).await }
    }
}

/// The reason why there was no connection, if that is what went wrong.
pub(crate) fn dial_error(error: &Error) -> Option<&DialError> {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref() {
            return Some(found);
        }
        next = source.source();
    }
    None
}

/// Connects to the application whatever the address in the request is: that one is only what it is told.
#[derive(Clone)]
struct Connector {
    dialler: Dialler,
    port: u16,
    is_http2: bool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Pipe>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.dialler.dial(this.port, this.is_http2).await.map(|io| TokioIo::new(Pipe(io))) })
    }
}

/// A connection as the library wants it.
struct Pipe(BoxIo);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
