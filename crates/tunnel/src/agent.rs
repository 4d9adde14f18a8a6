//! The agent's side: carries out what the [`machine`](crate::machine) says. The only place here that dials and sleeps.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use clock::Clock;
use crypto::Random;
use net::BoxIo;
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Open, Stream,
    control::{self, Message},
    link::{self, Serve},
    machine::{Effect, Event, LinkId, Machine},
};

/// The service that the proxy's own stream is for.
pub(crate) const CONTROL: &str = "control";

/// How long a dial may take, until the proxy has said who it is.
const DIAL_WITHIN: Duration = Duration::from_secs(20);

/// How long the driver sleeps at most, whatever the machine says.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Makes an authenticated connection to a proxy.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Dials `host:port`, shows our certificate and checks that the other end is a proxy of our cluster.
    async fn dial(&self, address: &str) -> io::Result<BoxIo>;
}

/// What is dialled, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Addresses of proxies, or of a balancer before them.
    pub addresses: Vec<String>,
    /// Counts the certificates that are shown in dials. When it moves, links are made anew: a proxy ends each when the
    /// certificate that it was made with does.
    pub generation: u64,
}

impl Entry {
    /// These addresses, with the first certificate.
    pub fn fixed(addresses: Vec<String>) -> Self {
        Self { addresses, generation: 0 }
    }
}

/// An agent's links to all proxies.
pub struct Agent {
    /// Where proxies are looked for; followed.
    pub entry: watch::Receiver<Entry>,
    /// How to reach them.
    pub dial: Arc<dyn Dial>,
    /// Who takes the streams that proxies open.
    pub serve: Arc<dyn Serve>,
    /// Told the ids of the proxies that there is a live link to, for heartbeats and readiness.
    pub connected: watch::Sender<Vec<String>>,
    /// Time.
    pub clock: Clock,
    /// Jitter.
    pub random: Random,
}

/// A link's task, and how to end it.
struct Task {
    id: Id,
    cancel: CancellationToken,
}

impl Agent {
    /// Holds links until `stop`; then lets the streams that run come to their end. Whoever is tired of waiting drops it.
    pub async fn run(self, stop: CancellationToken) {
        let mut news = self.entry.clone();
        let mut entry = news.borrow_and_update().clone();
        let mut machine = Machine::new(entry.addresses.clone());
        let (events, mut happened) = mpsc::channel(64);
        let mut links: BTreeMap<LinkId, Task> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut event = Event::Tick;
        loop {
            for effect in machine.on(self.clock.monotonic(), event, self.jitter()) {
                match effect {
                    Effect::Dial(link, address) => {
                        let cancel = stop.child_token();
                        let id = tasks.spawn(self.link(link, address, events.clone(), cancel.clone())).id();
                        links.insert(link, Task { id, cancel });
                    }
                    Effect::Close(link) => drop(links.get(&link).map(|task| task.cancel.cancel())),
                }
            }
            self.tell(&machine);
            let wake = machine.wake().map(|at| at.saturating_sub(self.clock.monotonic()));
            event = tokio::select! {
                () = stop.cancelled() => break,
                Some(happened) = happened.recv() => happened,
                Ok(()) = news.changed() => {
                    let before = std::mem::replace(&mut entry, news.borrow_and_update().clone());
                    let is_renewed = entry.generation != before.generation;
                    Event::Entry { addresses: entry.addresses.clone(), is_renewed }
                }
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let id = report(ended);
                    let link = links.iter().find_map(|(link, task)| (task.id == id).then_some(*link));
                    link.inspect(|link| drop(links.remove(link))).map_or(Event::Tick, Event::Down)
                }
                () = self.clock.sleep(wake.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) => Event::Tick,
            };
        }
        drop(happened);
        while let Some(ended) = tasks.join_next_with_id().await {
            report(ended);
        }
    }

    fn tell(&self, machine: &Machine) {
        let now: Vec<String> = machine.connected().into_iter().map(str::to_owned).collect();
        self.connected.send_if_modified(|before| {
            let is_new = *before != now;
            *before = now;
            is_new
        });
    }

    fn jitter(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.random.bytes::<4>())) / f64::from(u32::MAX)
    }

    fn link(
        &self,
        id: LinkId,
        address: String,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let (dial, serve, clock) = (Arc::clone(&self.dial), Arc::clone(&self.serve), self.clock.clone());
        async move {
            let greeted = CancellationToken::new();
            let linked = async {
                let io = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    dialled = dial.dial(&address) => dialled?,
                };
                let (greeted, stop) = (greeted.clone(), cancel.clone());
                let serve = Arc::new(Streams { id, inner: serve, events, greeted, stop });
                link::serve(io, serve, &clock, cancel.clone()).await
            };
            // Whoever answers and does not say who it is would be waited for as long as it lives.
            let silence = async {
                if clock.timeout(DIAL_WITHIN, greeted.cancelled()).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            let ended = tokio::select! {
                ended = linked => ended,
                () = silence => Err(io::ErrorKind::TimedOut.into()),
            };
            if let Err(error) = ended {
                tracing::warn!(%address, %error, "no tunnel to the proxy; trying again");
            }
        }
    }
}

/// Which task has ended; that it panicked is said aloud.
fn report(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            tracing::error!(%error, "a link to a proxy panicked; trying again");
            error.id()
        }
    }
}

/// The streams of one link: the control stream is ours, the others go to the agent's services.
struct Streams {
    id: LinkId,
    inner: Arc<dyn Serve>,
    events: mpsc::Sender<Event>,
    /// Cancelled when the proxy has said who it is.
    greeted: CancellationToken,
    /// The link takes no new streams and ends with the last one; the control stream must not be that one.
    stop: CancellationToken,
}

impl Streams {
    async fn control(&self, mut stream: Stream) -> io::Result<()> {
        loop {
            let message = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                message = control::read(&mut stream) => message?,
            };
            let Some(message) = message else { return Ok(()) };
            let event = match message {
                Message::Hello(hello) => {
                    self.greeted.cancel();
                    Event::Up(self.id, hello)
                }
                Message::Peers(peers) => Event::Peers(self.id, peers),
                Message::Drain => Event::Draining(self.id),
            };
            if self.events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Serve for Streams {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        if open.service == CONTROL { Ok(()) } else { self.inner.admit(open).await }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        if open.service != CONTROL {
            return self.inner.serve(open, stream).await;
        }
        if let Err(error) = self.control(stream).await {
            tracing::warn!(%error, "the proxy's control stream broke");
        }
        // A proxy from which we hear nothing more opens no streams either, though those that run may go on.
        if !self.stop.is_cancelled() {
            drop(self.events.send(Event::Draining(self.id)).await);
        }
    }
}
