//! TCP listeners and the options of the connections that come out of them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// How a listener and its connections behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// How many connections the kernel keeps for us before we accept them.
    pub backlog: i32,
    /// Silence after which the kernel asks whether the peer is still there.
    pub keep_alive_idle: Duration,
    /// The pause between two such questions.
    pub keep_alive_interval: Duration,
    /// How many unanswered questions end the connection.
    pub keep_alive_probes: u32,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            keep_alive_idle: Duration::from_secs(60),
            keep_alive_interval: Duration::from_secs(15),
            keep_alive_probes: 4,
        }
    }
}

impl ListenerOptions {
    /// Lets the kernel ask whether the peer of a connection is still there.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn keep_alive(&self, stream: &TcpStream) -> io::Result<()> {
        let keep_alive = TcpKeepalive::new()
            .with_time(self.keep_alive_idle)
            .with_interval(self.keep_alive_interval)
            .with_retries(self.keep_alive_probes);
        SockRef::from(stream).set_tcp_keepalive(&keep_alive)
    }
}

/// A TCP listener.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    options: ListenerOptions,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl Listener {
    /// Opens the port. Must be called within the runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddr, options: ListenerOptions) -> Result<Self, BindError> {
        let open = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            // A restart must not wait for the old connections' TIME_WAIT.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(options.backlog)?;
            TcpListener::from_std(socket.into())
        };
        open().map(|tcp| Self { tcp, options }).map_err(|source| BindError { address, source })
    }

    /// Takes over a listener that somebody else opened.
    pub fn from_tcp(tcp: TcpListener, options: ListenerOptions) -> Self {
        Self { tcp, options }
    }

    /// The address that it listens on, with the port that the kernel chose.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// As `accept(2)`; most of its errors concern one connection or pass.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.tcp.accept().await?;
        stream.set_nodelay(true)?;
        self.options.keep_alive(&stream)?;
        // Dual-stack sockets show IPv4 peers as ::ffff:a.b.c.d; the log and IP pinning want a.b.c.d.
        Ok((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())))
    }
}
