//! Opens the connections that requests travel on.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use client::Web;
use clock::Clock;
use crypto::tls::Trust;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use net::BoxIo;
use rustls::ClientConfig;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::failure::{Failure, Hop};

/// How long a connection may take to be there.
const DEADLINE: Duration = Duration::from_secs(10);

/// TLS to the proxy, for one name, with one certificate. The address of a request is not looked at: it decides nothing.
#[derive(Clone)]
pub(crate) struct Connector {
    web: Web,
    name: Arc<str>,
    tls: Arc<ClientConfig>,
    trust: Arc<Trust>,
    clock: Clock,
}

impl Connector {
    pub(crate) fn new(web: Web, name: &str, tls: Arc<ClientConfig>, trust: &Arc<Trust>, clock: &Clock) -> Self {
        Self { web, name: name.into(), tls, trust: Arc::clone(trust), clock: clock.clone() }
    }

    pub(crate) async fn connect(&self) -> Result<TlsStream<BoxIo>, Failure> {
        match self.clock.timeout(DEADLINE, self.web.connect(&self.name, &self.tls, &self.trust)).await {
            Ok(outcome) => outcome.map_err(|error| Hop::Proxy.failure(error)),
            Err(_) => {
                let (address, seconds) = (self.web.address(), DEADLINE.as_secs());
                Err(Hop::Proxy.late(format!("the proxy at {address} did not answer within {seconds} s")))
            }
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(Stream(TokioIo::new(this.connect().await?))) })
    }
}

/// A connection that says which protocol was agreed on.
pub(crate) struct Stream(TokioIo<TlsStream<BoxIo>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let is_h2 = self.0.inner().get_ref().1.alpn_protocol() == Some(crypto::tls::ALPN_H2);
        if is_h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
