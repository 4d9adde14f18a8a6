//! What a connection is made of: a socket, or the inside of a connection upgrade.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use net::proxy_protocol::Header;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
};

/// Where a connection comes from, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The client.
    pub(crate) client: SocketAddr,
    /// What it dialled.
    pub(crate) local: SocketAddr,
    /// Whom limits count: the client, unless just anybody can have said so.
    pub(crate) counted: IpAddr,
}

impl Ends {
    /// By the word of a header of the PROXY protocol. Where nobody has to write one (`is_certain`), anybody can claim any
    /// address: the port 0 then says so to those who would decide by it, and limits count the one who dialled.
    pub(crate) fn claimed(header: &Header, peer: SocketAddr, is_certain: bool) -> Self {
        let client = if is_certain { header.source } else { SocketAddr::new(header.source.ip(), 0) };
        let counted = if is_certain { header.source.ip() } else { peer.ip() };
        Self { client, local: header.destination, counted }
    }
}

/// Bytes both ways with a client.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A socket.
    Tcp(TcpStream),
    /// Bytes that came through `/webapi/connectionupgrade`.
    Upgraded(DuplexStream),
}

impl Transport {
    pub(crate) fn is_upgraded(&self) -> bool {
        matches!(self, Self::Upgraded(_))
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, into),
            Self::Upgraded(inner) => Pin::new(inner).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Upgraded(inner) => Pin::new(inner).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Upgraded(inner) => Pin::new(inner).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Upgraded(inner) => Pin::new(inner).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Upgraded(inner) => Pin::new(inner).poll_shutdown(context),
        }
    }
}
