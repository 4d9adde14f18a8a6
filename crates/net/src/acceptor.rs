//! The loop from the listening socket to an established TLS stream.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use clock::Clock;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::{
    Gate, Listener, Pass,
    gate::Crowded,
    tls::{self, Configure, HandshakeError},
};

/// The pause after a failed accept: descriptors or memory are short, and a tight loop would not find any.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What strangers can make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes at a time, all addresses together.
    pub handshakes: usize,
    /// Connections that wait for their handshake.
    pub waiting: usize,
    /// From the accept to the end of the handshake, waiting not counted.
    pub handshake_deadline: Duration,
    /// How long a connection may wait for its turn.
    pub waiting_deadline: Duration,
    /// Established connections whose peers have shown no certificate.
    pub strangers: usize,
    /// How long a connection whose peer has shown no certificate may live.
    pub stranger_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            waiting: 4096,
            handshake_deadline: Duration::from_secs(10),
            waiting_deadline: Duration::from_secs(30),
            strangers: 1024,
            stranger_lifetime: Duration::from_secs(5 * 60),
        }
    }
}

/// An established connection.
#[derive(Debug)]
pub struct Accepted {
    /// The stream.
    pub stream: TlsStream<TcpStream>,
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Held while the peer is a stranger; the connection ends after [`Limits::stranger_lifetime`].
    pub stranger: Option<Pass>,
}

impl Accepted {
    /// Whether the peer has shown a certificate, which the handshake has then verified.
    pub fn has_certificate(&self) -> bool {
        self.stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty())
    }

    /// The protocol agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.get_ref().1.alpn_protocol()
    }

    /// The name that the client asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.stream.get_ref().1.server_name()
    }
}

/// Accepts, queues, shakes hands, and hands on.
pub struct Acceptor {
    listener: Listener,
    configure: Arc<dyn Configure>,
    limits: Limits,
    clock: Clock,
    handshakes: Gate,
    strangers: Gate,
}

/// Why a connection got no further.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error("the connection's turn did not come within {0:?}")]
    TurnTooLate(Duration),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the connection is gone")]
    Gone(#[from] io::Error),
}

impl Acceptor {
    /// An acceptor for one port.
    pub fn new(listener: Listener, configure: impl Configure, limits: Limits, clock: Clock) -> Self {
        let handshakes = Gate::new(limits.handshakes, limits.waiting);
        let strangers = Gate::new(limits.strangers, limits.waiting);
        Self { listener, configure: Arc::new(configure), limits, clock, handshakes, strangers }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until `stop`, then closes the port and waits for the connections that are there; whoever is tired of
    /// waiting drops the future, and the connections with it. `serve` should watch `stop` too, and finish.
    pub async fn run<F, S>(self, stop: CancellationToken, serve: S)
    where
        S: Fn(Accepted) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, configure, limits, clock, handshakes, strangers } = self;
        let door = Arc::new(Door { configure, limits, clock, handshakes, strangers, stop });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = door.stop.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
                // Never paused: when too many wait, the gate drops the newest of the crowd. A pause would let one
                // crowded address hold up everybody else in the kernel's queue.
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(Arc::clone(&door).connection(stream, peer, serve.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        door.clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

/// What every connection passes through.
struct Door {
    configure: Arc<dyn Configure>,
    limits: Limits,
    clock: Clock,
    handshakes: Gate,
    strangers: Gate,
    stop: CancellationToken,
}

impl Door {
    async fn connection<F, S>(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, serve: S)
    where
        S: Fn(Accepted) -> F,
        F: Future<Output = ()> + Send,
    {
        let admitted = tokio::select! {
            () = self.stop.cancelled() => return,
            admitted = self.admit(stream, peer) => admitted,
        };
        match admitted {
            Ok(accepted) if accepted.stranger.is_some() => {
                let lifetime = self.limits.stranger_lifetime;
                if self.clock.timeout(lifetime, Box::pin(serve(accepted))).await.is_err() {
                    tracing::debug!(%peer, "connection without a certificate ended at its limit");
                }
            }
            Ok(accepted) => serve(accepted).await,
            Err(error) => tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection refused"),
        }
    }

    async fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Result<Accepted, Refused> {
        let local = stream.local_addr()?;
        let pass = self.turn(&self.handshakes, peer).await?;
        let stream = tls::accept(stream, &*self.configure, &self.clock, self.limits.handshake_deadline).await?;
        let mut accepted = Accepted { stream, peer, local, stranger: None };
        // Given back only now: somebody who waits for a stranger's place no longer holds one for a handshake.
        drop(pass);
        if !accepted.has_certificate() {
            accepted.stranger = Some(self.turn(&self.strangers, peer).await?);
        }
        Ok(accepted)
    }

    async fn turn(&self, gate: &Gate, peer: SocketAddr) -> Result<Pass, Refused> {
        let deadline = self.limits.waiting_deadline;
        match self.clock.timeout(deadline, gate.enter(peer.ip())).await {
            Ok(pass) => Ok(pass?),
            Err(_) => Err(Refused::TurnTooLate(deadline)),
        }
    }
}

/// A panic in one connection ends that connection; it is said aloud.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "connection panicked");
    }
}

#[cfg(test)]
mod tests;
