//! The proxy's side: which agents hold a link to us, and a stream to any of them.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Open, OpenError, Stream,
    agent::CONTROL,
    control::{self, Hello, Message, Peer},
    link::{Opener, Transport},
};

/// How long an agent may take to hear a message: one that does not read would keep a proxy from telling it that it stops.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Links of one agent at a time: it holds one, and makes another before it leaves that. An older one that it has not left
/// by then leads nowhere, or it makes links without end.
const LINKS: usize = 4;

/// The agents that are connected to this proxy. Cheap to clone; all clones are one switchboard.
#[derive(Clone)]
pub struct Switchboard(Arc<Shared>);

struct Shared {
    proxy: String,
    incarnation: String,
    peers: watch::Receiver<Vec<Peer>>,
    clock: Clock,
    /// What the next link is called.
    next: AtomicU64,
    /// Newest last: an agent that came back has left the older ones, whether we know it yet or not.
    links: Mutex<HashMap<String, Vec<Link>>>,
}

struct Link {
    id: u64,
    opener: Opener,
    /// Cancelled when the agent is to look for another proxy, or has newer links.
    stop: CancellationToken,
}

impl Switchboard {
    /// An empty switchboard of the proxy with this host id. `incarnation` is random for each start; `peers` are the
    /// proxies of the cluster.
    pub fn new(proxy: String, incarnation: String, peers: watch::Receiver<Vec<Peer>>, clock: Clock) -> Self {
        Self(Arc::new(Shared { proxy, incarnation, peers, clock, next: AtomicU64::new(0), links: Mutex::default() }))
    }

    /// Takes an agent's connection, and holds the link until it ends. At `stop` the agent is told to look for another
    /// proxy; streams that run go on until the agent ends the link, or the caller drops this.
    ///
    /// # Errors
    /// The agent does not speak our protocol.
    pub async fn attach(&self, host: &str, transport: Transport, stop: CancellationToken) -> io::Result<()> {
        let (opener, link) = Opener::begin(transport, host, &self.0.clock).await?;
        tokio::pin!(link);
        let talk = async {
            let (stream, peers) = self.greet(&opener).await?;
            // Listed as long as it listens: whoever does not has left, or is about to.
            let stop = stop.child_token();
            let listed = Listed::new(self, host, opener, stop.clone());
            if let Err(error) = self.converse(stream, peers, stop, listed).await {
                tracing::debug!(host, %error, "the agent does not listen any more");
            }
            io::Result::Ok(())
        };
        tokio::select! {
            () = &mut link => return Ok(()),
            greeted = talk => greeted?,
        }
        // With the last opener gone, the link ends by itself when the last stream does.
        link.await;
        Ok(())
    }

    /// Opens the control stream, and says who we are.
    async fn greet(&self, opener: &Opener) -> io::Result<(Stream, watch::Receiver<Vec<Peer>>)> {
        let shared = &self.0;
        let mut peers = shared.peers.clone();
        let mut stream = opener.open(&Open::service(CONTROL), &shared.clock).await.map_err(io::Error::other)?;
        let known = peers.borrow_and_update().clone();
        let hello = Hello { proxy: shared.proxy.clone(), incarnation: shared.incarnation.clone(), peers: known };
        self.say(&mut stream, &Message::Hello(hello)).await?;
        Ok((stream, peers))
    }

    /// Tells the agent the news until we stop, and then that we do.
    async fn converse(
        &self,
        mut stream: Stream,
        mut peers: watch::Receiver<Vec<Peer>>,
        stop: CancellationToken,
        listed: Listed,
    ) -> io::Result<()> {
        let mut nothing = [0];
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = peers.changed() => if changed.is_err() { break },
                // It has nothing to say; it leaves.
                ended = stream.read(&mut nothing) => return ended.map(drop),
            }
            let known = peers.borrow_and_update().clone();
            self.say(&mut stream, &Message::Peers(known)).await?;
        }
        drop(listed);
        self.say(&mut stream, &Message::Drain).await?;
        stream.shutdown().await?;
        // Dropped before the agent has read to the end, the stream would take its last message with it.
        drop(self.0.clock.timeout(HEARD_WITHIN, stream.read(&mut [0])).await);
        Ok(())
    }

    async fn say(&self, stream: &mut Stream, message: &Message) -> io::Result<()> {
        let said = self.0.clock.timeout(HEARD_WITHIN, control::write(stream, message)).await;
        said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Opens a stream to an agent. A link that turns out to be lost is passed over for another one of the same agent.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, host: &str, open: &Open) -> Result<Stream, OpenError> {
        let links: Vec<Opener> =
            self.links().get(host).into_iter().flatten().rev().map(|link| link.opener.clone()).collect();
        let mut last = OpenError::NotConnected(host.to_owned());
        for link in links.into_iter().filter(|link| !link.is_closed()) {
            match link.open(open, &self.0.clock).await {
                Err(error @ (OpenError::Lost(_) | OpenError::TooSlow(_))) => last = error,
                settled => return settled,
            }
        }
        Err(last)
    }

    /// Whether this agent holds a link to us.
    pub fn is_connected(&self, host: &str) -> bool {
        self.links().get(host).is_some_and(|links| links.iter().any(|link| !link.opener.is_closed()))
    }

    /// How many agents hold a link to us.
    pub fn agents(&self) -> usize {
        self.links().len()
    }

    fn links(&self) -> MutexGuard<'_, HashMap<String, Vec<Link>>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link in the list, until dropped.
struct Listed {
    board: Switchboard,
    host: String,
    id: u64,
}

impl Listed {
    fn new(board: &Switchboard, host: &str, opener: Opener, stop: CancellationToken) -> Self {
        let id = board.0.next.fetch_add(1, Ordering::Relaxed);
        let mut links = board.links();
        let of_host = links.entry(host.to_owned()).or_default();
        // Links come and go by themselves: at a renewal, and where an agent looks for another proxy and meets us.
        if of_host.is_empty() {
            tracing::info!(host, "agent attached");
        }
        of_host.push(Link { id, opener, stop });
        if of_host.len() > LINKS {
            of_host.remove(0).stop.cancel();
        }
        drop(links);
        Self { board: board.clone(), host: host.to_owned(), id }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut links = self.board.links();
        if let Some(of_host) = links.get_mut(&self.host) {
            of_host.retain(|link| link.id != self.id);
            if of_host.is_empty() {
                links.remove(&self.host);
                tracing::info!(host = self.host, "agent gone");
            }
        }
    }
}

#[cfg(test)]
mod tests;
