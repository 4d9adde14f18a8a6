//! The agent's side: carries out what the [`machine`](crate::machine) says. The only place here that dials and sleeps.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use clock::Clock;
use crypto::Random;
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Open, Stream,
    control::{self, Message},
    link::{self, Serve, Transport},
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
    async fn dial(&self, address: &str) -> io::Result<Transport>;
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
                let transport = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    dialled = dial.dial(&address) => dialled?,
                };
                let (greeted, stop) = (greeted.clone(), cancel.clone());
                let serve = Arc::new(Streams { id, inner: serve, events, greeted, stop });
                link::serve(transport, serve, &clock, cancel.clone()).await
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
            match ended {
                Ok(()) => {}
                // It was to end: nobody misses it.
                Err(error) if cancel.is_cancelled() => tracing::debug!(%address, %error, "the tunnel ended"),
                Err(error) => tracing::warn!(%address, %error, "no tunnel to the proxy; trying again"),
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
                biased;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

    use std::sync::{Mutex, PoisonError};

    use tokio::io::{AsyncWriteExt, copy_bidirectional, duplex};
    use tracing::{Event as Line, Level, Metadata, Subscriber, span, subscriber};

    use super::*;
    use crate::Switchboard;

    /// How loud what was said is, but for what only a developer wants to know.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<Level>>>);

    impl Said {
        fn count(&self, level: Level) -> usize {
            let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().filter(|said| **said == level).count()
        }
    }

    impl Subscriber for Said {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO && metadata.target().starts_with("tunnel")
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn event(&self, line: &Line<'_>) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*line.metadata().level());
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// A proxy at the end of a cable on which nothing but noise comes once it is cut.
    struct Cable {
        board: Switchboard,
        cut: CancellationToken,
    }

    #[async_trait]
    impl Dial for Cable {
        async fn dial(&self, _: &str) -> io::Result<Transport> {
            let ((ours, mut near), (mut far, theirs)) = (duplex(64 * 1024), duplex(64 * 1024));
            let (board, cut) = (self.board.clone(), self.cut.clone());
            tokio::spawn(
                async move { board.attach("agent", Transport::plain(theirs), CancellationToken::new()).await },
            );
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = cut.cancelled() => drop(near.write_all(&[0xff; 64]).await),
                }
            });
            Ok(Transport::plain(ours))
        }
    }

    #[async_trait]
    impl Serve for Cable {
        async fn admit(&self, _: &Open) -> Result<(), String> {
            Ok(())
        }

        async fn serve(&self, _: Open, _: Stream) {}
    }

    /// An agent that holds a link until `stop`, which is broken at `cut`.
    async fn linked(
        board: &Switchboard,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) -> (JoinSet<()>, watch::Receiver<Vec<String>>) {
        let cable = Arc::new(Cable { board: board.clone(), cut: cut.clone() });
        let (connected, mut seen) = watch::channel(Vec::new());
        let agent = Agent {
            entry: watch::channel(Entry::fixed(vec!["entry".into()])).1,
            dial: Arc::clone(&cable) as _,
            serve: cable,
            connected,
            clock: Clock::system(),
            random: Random::seeded(3),
        };
        let mut running = JoinSet::new();
        running.spawn(agent.run(stop.clone()));
        seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
        (running, seen)
    }

    fn board() -> (Switchboard, watch::Sender<Vec<crate::Peer>>) {
        let (tell, peers) = watch::channel(Vec::new());
        (Switchboard::new("proxy".into(), "1".into(), peers, Clock::system()), tell)
    }

    #[tokio::test]
    async fn a_link_that_breaks_is_warned_of_and_one_that_was_to_end_is_not() {
        let (board, _tell) = board();
        for is_stopping in [false, true] {
            let said = Said::default();
            let _guard = subscriber::set_default(said.clone());
            let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
            let (mut running, mut seen) = linked(&board, &stop, &cut).await;
            if is_stopping {
                stop.cancel();
            }
            cut.cancel();
            seen.wait_for(Vec::is_empty).await.map(drop).unwrap_or_default();
            if is_stopping {
                running.join_next().await.unwrap().unwrap();
            }
            running.shutdown().await;
            assert_eq!(said.count(Level::WARN) > 0, !is_stopping);
        }
    }

    #[tokio::test]
    async fn an_agent_comes_and_goes_once_whatever_its_links_do() {
        let said = Said::default();
        let _guard = subscriber::set_default(said.clone());
        let (board, _tell) = board();
        let (first, second, cut) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (mut one, _) = linked(&board, &first, &cut).await;
        let (mut two, _) = linked(&board, &second, &cut).await;
        first.cancel();
        one.join_next().await.unwrap().unwrap();
        assert_eq!((said.count(Level::INFO), board.is_connected("agent")), (1, true));
        second.cancel();
        two.join_next().await.unwrap().unwrap();
        while board.agents() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((said.count(Level::INFO), said.count(Level::WARN)), (2, 0));
    }
}
