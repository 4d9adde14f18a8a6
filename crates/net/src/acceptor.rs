//! The loop from the listening socket to an established TLS stream.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use clock::Clock;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::{
    Gate, Listener, Pass,
    gate::{AddressGate, AddressPass, Crowded},
    proxy_protocol::{self, Header},
    tls::{self, Configure, HandshakeError},
};

/// The pause after a failed accept: descriptors or memory are short, and a tight loop would not find any.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a handshake, or the silence before one, is let be while others wait and its address holds the most places.
/// Longer than an honest handshake takes on a bad line; short enough that a crowd of peers who do nothing delays a bot of
/// another address by no more than a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same for an established connection without a certificate: a join is done by then.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_secs(5);

/// What strangers can make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes at a time, all addresses together.
    pub handshakes: usize,
    /// Connections that wait for their handshake.
    pub waiting: usize,
    /// From the accept to the first byte, and from there to the end of the handshake; waiting not counted.
    pub handshake_deadline: Duration,
    /// How long a connection may wait for its turn.
    pub waiting_deadline: Duration,
    /// Established connections whose peers have shown no certificate.
    pub strangers: usize,
    /// How many of them may come from one address; all of them unless somebody chose a number.
    pub strangers_per_address: Option<usize>,
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
            strangers_per_address: None,
            stranger_lifetime: Duration::from_secs(5 * 60),
        }
    }
}

/// Decides about what others say where their clients are.
pub trait Sources: Send + Sync + 'static {
    /// Whom limits count for the client that this header of the PROXY protocol names. Without an answer the header is not
    /// believed, and the connection refused.
    fn counted(&self, header: &Header) -> Option<IpAddr>;
}

/// An established connection.
#[derive(Debug)]
pub struct Accepted {
    /// The stream.
    pub stream: TlsStream<TcpStream>,
    /// The other end: the client, where somebody who is believed says for whom it speaks.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Held while the peer is a stranger; the connection ends after [`Limits::stranger_lifetime`].
    pub stranger: Option<Stranger>,
}

/// The places that a connection without a certificate holds; given back when dropped.
#[derive(Debug)]
pub struct Stranger {
    among_all: Pass,
    _of_address: Option<AddressPass>,
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
    sources: Option<Arc<dyn Sources>>,
    limits: Limits,
    clock: Clock,
    silent: Gate,
    handshakes: Gate,
    strangers: Gate,
    crowds: Option<AddressGate>,
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
    #[error("what it says about its client's address is not believed")]
    NotBelieved,
    #[error("the connection is gone")]
    Gone(#[from] io::Error),
}

impl Acceptor {
    /// An acceptor for one port.
    pub fn new(listener: Listener, configure: impl Configure, limits: Limits, clock: Clock) -> Self {
        let gate = |places, patience| Gate::new(places, limits.waiting, patience, clock.clone());
        let silent = gate(limits.waiting, PATIENCE);
        let handshakes = gate(limits.handshakes, PATIENCE);
        let strangers = gate(limits.strangers, PATIENCE_WITH_STRANGERS);
        let crowds = limits.strangers_per_address;
        let crowds = crowds.map(|places| AddressGate::new(places, limits.waiting, clock.clone()));
        let configure = Arc::new(configure);
        Self { listener, configure, sources: None, limits, clock, silent, handshakes, strangers, crowds }
    }

    /// Takes connections that begin with a block of the PROXY protocol (version 2), if `sources` believes what it says. The
    /// peer is then the client that it names, and limits count whom `sources` says: all who come through one proxy are not
    /// one crowd.
    #[must_use]
    pub fn believing(mut self, sources: Arc<dyn Sources>) -> Self {
        self.sources = Some(sources);
        self
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
        let Self { listener, configure, sources, limits, clock, silent, handshakes, strangers, crowds } = self;
        let door = Arc::new(Door { configure, sources, limits, clock, silent, handshakes, strangers, crowds, stop });
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

/// What is left of a connection once it is established.
type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What every connection passes through.
struct Door {
    configure: Arc<dyn Configure>,
    sources: Option<Arc<dyn Sources>>,
    limits: Limits,
    clock: Clock,
    silent: Gate,
    handshakes: Gate,
    strangers: Gate,
    crowds: Option<AddressGate>,
    stop: CancellationToken,
}

impl Door {
    /// A connection's life, in two parts on the heap, one after the other: a future keeps room for all that was ever moved
    /// through it, and ten thousand idle connections would keep room for a handshake each.
    async fn connection<F, S>(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, serve: S)
    where
        S: Fn(Accepted) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let admission: Pin<Box<dyn Future<Output = Option<Served>> + Send>> = Box::pin(async move {
            let admitted = tokio::select! {
                () = self.stop.cancelled() => return None,
                admitted = self.admit(stream, peer) => admitted,
            };
            match admitted {
                Ok(accepted) => Some(self.served(accepted, serve)),
                Err(error) => {
                    tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection refused");
                    None
                }
            }
        });
        if let Some(served) = admission.await {
            served.await;
        }
    }

    fn served<F: Future<Output = ()> + Send + 'static>(
        &self,
        accepted: Accepted,
        serve: impl Fn(Accepted) -> F,
    ) -> Served {
        let Some(leave) = accepted.stranger.as_ref().map(|stranger| stranger.among_all.leave().clone()) else {
            return Box::pin(serve(accepted));
        };
        let (peer, lifetime, clock) = (accepted.peer, self.limits.stranger_lifetime, self.clock.clone());
        let served = Box::pin(serve(accepted));
        Box::pin(async move {
            if !matches!(leave.run_until_cancelled(clock.timeout(lifetime, served)).await, Some(Ok(()))) {
                tracing::debug!(%peer, "connection without a certificate ended at its limit");
            }
        })
    }

    async fn admit(&self, mut stream: TcpStream, peer: SocketAddr) -> Result<Accepted, Refused> {
        let local = stream.local_addr()?;
        let (peer, counted) = self.first_bytes(&mut stream, peer).await?;
        let pass = self.turn(self.handshakes.enter(counted)).await?;
        let handshake = tls::accept(stream, &*self.configure, &self.clock, self.limits.handshake_deadline);
        let stream = pass.leave().run_until_cancelled(handshake).await.ok_or(Crowded)??;
        let mut accepted = Accepted { stream, peer, local, stranger: None };
        // Given back only now: somebody who waits for a stranger's place no longer holds one for a handshake.
        drop(pass);
        if !accepted.has_certificate() {
            accepted.stranger = Some(self.stranger(counted).await?);
        }
        Ok(accepted)
    }

    /// Waits for the peer to say something: until then it needs no place among those who shake hands. Returns who that is,
    /// and whom limits count.
    async fn first_bytes(&self, stream: &mut TcpStream, peer: SocketAddr) -> Result<(SocketAddr, IpAddr), Refused> {
        let pass = self.turn(self.silent.enter(peer.ip())).await?;
        let deadline = self.limits.handshake_deadline;
        let said = self.clock.timeout(deadline, async {
            // Looks at it: that a socket is readable is said of new ones before anything has come.
            let mut first = [0];
            let length = stream.peek(&mut first).await?;
            match &self.sources {
                Some(sources) if length > 0 && first[0] == proxy_protocol::V2_BEGINS => {
                    match proxy_protocol::read_v2(stream).await? {
                        Some(header) => {
                            let counted = sources.counted(&header).ok_or(Refused::NotBelieved)?;
                            Ok((header.source, counted))
                        }
                        None => Ok((peer, peer.ip())),
                    }
                }
                _ => Ok((peer, peer.ip())),
            }
        });
        match pass.leave().run_until_cancelled(said).await {
            Some(Ok(said)) => said,
            Some(Err(_)) => Err(HandshakeError::TooSlow(deadline).into()),
            None => Err(Crowded.into()),
        }
    }

    /// First a place among those of the same address: who waits for that must not hold one that others could have.
    async fn stranger(&self, counted: IpAddr) -> Result<Stranger, Refused> {
        let of_address = match &self.crowds {
            Some(crowds) => Some(self.turn(crowds.enter(counted)).await?),
            None => None,
        };
        let among_all = self.turn(self.strangers.enter(counted)).await?;
        Ok(Stranger { among_all, _of_address: of_address })
    }

    async fn turn<P>(&self, place: impl Future<Output = Result<P, Crowded>>) -> Result<P, Refused> {
        let deadline = self.limits.waiting_deadline;
        match self.clock.timeout(deadline, place).await {
            Ok(place) => Ok(place?),
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
