//! One connection of bytes to an application that speaks no HTTP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use domain::{Error, error::Kind};
use net::BoxIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional};
use tokio_rustls::client::TlsStream;

use crate::{
    Access,
    failure::{Failure, Hop},
    forward::Forwarder,
    listener::Reach,
    visitor::Visitor,
};

/// Carries a connection to its end.
pub(crate) async fn carry(forwarder: &Forwarder, access: &Arc<Access>, stream: &mut BoxIo) -> Result<(), Failure> {
    let inner = match access.connect().await {
        Ok(inner) => inner,
        Err(failure) => {
            if failure.error.kind == Kind::Denied {
                forwarder.keyring.discard(access);
            }
            return Err(failure);
        }
    };
    let mut there = There { inner, has_spoken: false, has_refused: false };
    let copied = if forwarder.reach == Reach::Socket {
        copy_bidirectional(stream, &mut there).await
    } else {
        let mut here = Visitor::new(stream, forwarder.reach == Reach::Machine, access.public_name());
        let copied = copy_bidirectional(&mut here, &mut there).await;
        if let Some(error) = here.denied {
            return Err(refuse(stream, error).await);
        }
        copied
    };
    if there.has_refused {
        forwarder.keyring.discard(access);
    }
    let broken = |error: io::Error| Hop::Proxy.failure(Error::unavailable(error.to_string()));
    copied.map(|_| ()).map_err(broken)
}

/// Says to a browser why its page gets nothing. Whether it reads that is its own affair.
async fn refuse(stream: &mut BoxIo, error: Error) -> Failure {
    let failure = Hop::Here.failure(error);
    let text = format!("the connection failed {failure}\n");
    let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
                connection: close\r\ncontent-length: ";
    let _ = stream.write_all(format!("{head}{}\r\n\r\n{text}", text.len()).as_bytes()).await;
    let _ = stream.shutdown().await;
    failure
}

/// The side of the proxy. It hangs up without a word (RFC 8446 §6.1), which no application can make it do, when it does not
/// take the certificate; also when no agent serves the application just now, or nobody can say whether the certificate is
/// good. So another one is asked for, and this one shown until it has come. A program on this machine that resets its
/// connection says nothing about the certificate.
struct There {
    inner: TlsStream<BoxIo>,
    has_spoken: bool,
    has_refused: bool,
}

impl There {
    fn heard<T>(&mut self, polled: Poll<io::Result<T>>, is_word: bool) -> Poll<io::Result<T>> {
        match &polled {
            Poll::Ready(Ok(_)) => self.has_spoken |= is_word,
            Poll::Ready(Err(error)) => {
                let is_hang_up = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
                self.has_refused |= is_hang_up && !self.has_spoken;
            }
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncRead for There {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, into);
        // An end in good order is a word, too.
        self.heard(polled, true)
    }
}

impl AsyncWrite for There {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.heard(polled, false)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.heard(polled, false)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.heard(polled, false)
    }
}
