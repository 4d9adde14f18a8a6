//! One stream of a link as bytes both ways, with the flow control of HTTP/2 underneath.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use clock::Clock;
use crypto::{
    tls::{self, CertificateChain, Exported, TrustedClients},
    x509::Certificate,
};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The most that one write takes: a large write must not fill the link's send buffer at the cost of its neighbours.
const MAX_WRITE: usize = 64 * 1024;

/// Bytes both ways between a proxy and an agent. Dropping it before both sides have ended resets the stream, and takes
/// what was written last with it: end the writing, then read to the end.
#[derive(Debug)]
pub struct Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Received, not read yet; counted against the window until it is.
    unread: Bytes,
    is_shut: bool,
    exported: Option<Exported>,
}

impl Stream {
    pub(crate) fn new(send: SendStream<Bytes>, receive: RecvStream, exported: Option<Exported>) -> Self {
        Self { send, receive, unread: Bytes::new(), is_shut: false, exported }
    }

    /// What the one that has opened the stream sends before all else where it is expected to prove that it holds this key
    /// (RFC 9261): the length in two bytes, then the proof, for this stream of this link. None where TLS is expected.
    ///
    /// # Errors
    /// See [`Exported::prove`], which makes none whose length does not fit.
    pub fn proof(&self, chain: &CertificateChain) -> Option<Result<Vec<u8>, tls::Error>> {
        let proof = self.exported.as_ref()?.prove(chain, &self.name());
        Some(proof.map(|proof| [&(proof.len() as u16).to_be_bytes()[..], &proof].concat()))
    }

    /// Reads such a proof. Whose key the other end holds: trusted as a client's certificate is. What follows is as safe as
    /// the link, and nothing is sent back: whoever does not accept it ends the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for what proves nothing; the stream is broken.
    pub async fn proved(&mut self, trusted: &TrustedClients, clock: &Clock) -> io::Result<Certificate> {
        let nothing = || io::Error::new(io::ErrorKind::InvalidData, "nothing can be proved within this link");
        let exported = self.exported.clone().ok_or_else(nothing)?;
        let mut proof = vec![0; usize::from(self.read_u16().await?)];
        self.read_exact(&mut proof).await?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        exported.verify(&proof, &self.name(), trusted, clock).map_err(invalid)
    }

    /// What the stream is called in proofs: its number, which no other one of the link ever has (RFC 9113 §5.1.1).
    fn name(&self) -> [u8; 4] {
        u32::from(self.send.stream_id()).to_be_bytes()
    }

    fn reset_reason(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        match ready!(self.send.poll_reset(context)) {
            Ok(Reason::NO_ERROR | Reason::CANCEL | Reason::STREAM_CLOSED) => {
                Poll::Ready(io::ErrorKind::BrokenPipe.into())
            }
            Ok(reason) => Poll::Ready(io::Error::other(h2::Error::from(reason))),
            Err(error) => Poll::Ready(io_error(error)),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.receive.poll_data(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => {
                    return Poll::Ready(match error.reason() {
                        // The other side has said all it had to say.
                        Some(Reason::NO_ERROR) => Ok(()),
                        Some(Reason::CANCEL | Reason::STREAM_CLOSED) => Err(io::ErrorKind::ConnectionReset.into()),
                        _ => Err(io_error(error)),
                    });
                }
            }
        }
        let length = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        // Cannot fail: what is given back was received.
        drop(self.receive.flow_control().release_capacity(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// One frame of many parts: whoever speaks HTTP here has a head and a body, and need not put them together first.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = parts.iter().map(|part| part.len()).sum::<usize>().min(MAX_WRITE);
        if all == 0 {
            return Poll::Ready(Ok(0));
        }
        self.send.reserve_capacity(all);
        match ready!(self.send.poll_capacity(context)) {
            Some(Ok(granted)) => {
                let length = granted.min(all);
                let mut frame = Vec::with_capacity(length);
                for part in parts {
                    frame.extend_from_slice(&part[..part.len().min(length - frame.len())]);
                }
                match self.send.send_data(frame.into(), false) {
                    Ok(()) => Poll::Ready(Ok(length)),
                    Err(_) => self.reset_reason(context).map(Err),
                }
            }
            Some(Err(_)) | None => self.reset_reason(context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        self.is_shut = true;
        if self.send.send_data(Bytes::new(), true).is_ok() {
            return Poll::Ready(Ok(()));
        }
        match self.reset_reason(context) {
            // Gone already: there is nothing left to end.
            Poll::Ready(error) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
            other => other.map(Err),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_shut {
            self.send.send_reset(Reason::CANCEL);
        }
    }
}

fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() { error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()) } else { io::Error::other(error) }
}
