//! Connections to agents that wait for the next request of the same session from the same place. They are never shared
//! between sessions nor between places: the agent knows who asks by the certificate of the connection, and where from by
//! what the connection was opened for; by that it decides whether a pinned session is used where it may be, and by that it
//! writes the audit log.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Clock;
use hyper::client::conn::{http1, http2};

use super::places::{Full, Holder, Place, Places};
use crate::{body::RequestBody, sessions::SessionKey};

/// How long a connection waits. Shorter than agents keep one, so that it rarely dies in our hands.
const IDLE: Duration = Duration::from_secs(50);

/// How often the pool is looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How long a connection whose answer has been read may take until it can carry another request. One that takes longer
/// still carries the client's side: an application may answer before it has heard all of an upload.
pub(crate) const SETTLES: Duration = Duration::from_millis(100);

/// How many wait for one session and agent. More are closed after use.
const MOST_IDLE: usize = 128;

/// Requests that one connection carries side by side. Fewer than agents take: more would wait there, without a word, and an
/// upload may go on after its answer.
const MOST_REQUESTS: usize = 200;

/// Whose requests a connection carries, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    session: SessionKey,
    /// The agent's host id.
    agent: Arc<str>,
    source: IpAddr,
    /// Whether the source is known, or just claimed.
    is_certain: bool,
}

impl Key {
    pub(crate) fn new(session: SessionKey, agent: &Arc<str>, source: SocketAddr) -> Self {
        let (source, is_certain) = (source.ip().to_canonical(), source.port() != 0);
        Self { session, agent: Arc::clone(agent), source, is_certain }
    }
}

/// The connections that wait.
pub(crate) struct Pool {
    clock: Clock,
    by_key: Mutex<HashMap<Key, Waiting>>,
}

#[derive(Default)]
struct Waiting {
    /// The last one is used first, so that what is too many grows old.
    http1: Vec<Idle<http1::SendRequest<RequestBody>>>,
    /// The first one with room is used first.
    http2: Vec<Idle<Shared>>,
}

struct Idle<S> {
    since: Duration,
    sender: S,
    place: Arc<Place>,
}

/// A connection that can take a request. Held until the answer has been read.
pub(crate) enum Way {
    /// It carries this request, and no other beside it.
    Http1(Lease),
    /// It carries others too.
    Http2(Shared),
}

/// A connection that carries one request now.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    place: Arc<Place>,
    pub(crate) sender: http1::SendRequest<RequestBody>,
    /// It has carried none before.
    pub(crate) is_new: bool,
}

/// A connection that carries many, of which this is one.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) sender: http2::SendRequest<RequestBody>,
    /// There are as many of these as requests, and one in the pool.
    requests: Arc<()>,
}

impl Shared {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.requests) == 1
    }

    fn has_room(&self) -> bool {
        !self.sender.is_closed() && Arc::strong_count(&self.requests) <= MOST_REQUESTS
    }
}

impl Waiting {
    /// Those that carry nothing, and since when.
    fn idle(&self) -> impl Iterator<Item = (Duration, &Arc<Place>)> + Clone {
        let http1 = self.http1.iter().map(|waiting| (waiting.since, &waiting.place));
        let http2 = self.http2.iter().filter(|waiting| waiting.sender.is_idle());
        http1.chain(http2.map(|waiting| (waiting.since, &waiting.place)))
    }

    fn remove(&mut self, place: &Place) {
        self.http1.retain(|waiting| !std::ptr::eq(&*waiting.place, place));
        self.http2.retain(|waiting| !std::ptr::eq(&*waiting.place, place));
    }
}

/// All connections that carry nothing, and since when.
fn idle(pool: &HashMap<Key, Waiting>) -> impl Iterator<Item = (Duration, &Key, &Arc<Place>)> + Clone {
    pool.iter().flat_map(|(key, waiting)| waiting.idle().map(move |(since, place)| (since, key, place)))
}

/// Somebody else may have its place at once.
fn give_up(pool: &mut HashMap<Key, Waiting>, key: &Key, place: &Place) {
    if let Some(waiting) = pool.get_mut(key) {
        waiting.remove(place);
    }
    place.give_back();
}

impl Pool {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, by_key: Mutex::default() })
    }

    /// A connection that waits; none when there is none.
    pub(crate) fn take(self: &Arc<Self>, key: &Key) -> Option<Lease> {
        let now = self.clock.monotonic();
        let mut pool = self.lock();
        let waiting = &mut pool.get_mut(key)?.http1;
        let can_carry = |waiting: &Idle<http1::SendRequest<RequestBody>>| {
            waiting.sender.is_ready() || !waiting.sender.is_closed() && now.saturating_sub(waiting.since) < SETTLES
        };
        let Idle { sender, place, .. } = waiting.remove(waiting.iter().rposition(can_carry)?);
        Some(Lease { pool: Arc::clone(self), key: key.clone(), place, sender, is_new: false })
    }

    /// A new connection, for its first request.
    pub(crate) fn lease(
        self: &Arc<Self>,
        key: Key,
        sender: http1::SendRequest<RequestBody>,
        place: Arc<Place>,
    ) -> Lease {
        Lease { pool: Arc::clone(self), key, place, sender, is_new: true }
    }

    /// One that carries many requests, and may carry another; none when there is none.
    pub(crate) fn take_http2(&self, key: &Key) -> Option<Shared> {
        let mut pool = self.lock();
        let waiting = pool.get_mut(key)?.http2.iter_mut().find(|waiting| waiting.sender.has_room())?;
        waiting.since = self.clock.monotonic();
        Some(waiting.sender.clone())
    }

    /// A new one, for its first request; kept for more, unless another one has room for them by now.
    pub(crate) fn put_http2(&self, key: Key, sender: http2::SendRequest<RequestBody>, place: Arc<Place>) -> Shared {
        let (since, shared) = (self.clock.monotonic(), Shared { sender, requests: Arc::default() });
        let mut pool = self.lock();
        let waiting = &mut pool.entry(key).or_default().http2;
        if !waiting.iter().any(|waiting| waiting.sender.has_room()) {
            waiting.push(Idle { since, sender: shared.clone(), place });
        }
        shared
    }

    /// A place on a link, if there is none those of connections which have waited longest: first of the same user, then of
    /// anybody. What only waits keeps nobody out, and is not given up in vain.
    pub(crate) fn place(&self, places: &Arc<Places>, holder: &Holder, link: &Arc<str>) -> Result<Arc<Place>, Full> {
        let full = match places.take(holder, link) {
            Ok(place) => return Ok(place),
            Err(full) => full,
        };
        let is_own = |place: &Place| place.holder.share == holder.share;
        let mut pool = self.lock();
        let idle = idle(&pool).filter(|(.., place)| place.link == *link);
        let (mut own, mut all) = (0, 0);
        idle.clone().for_each(|(.., place)| (own, all) = (own + usize::from(is_own(place)), all + 1));
        if !places.would_take(holder, link, own, all) {
            return Err(full);
        }
        let mut idle: Vec<_> = idle.map(|(since, key, place)| (since, key.clone(), Arc::clone(place))).collect();
        idle.sort_by_key(|(since, _, place)| (!is_own(place), *since));
        for (_, key, place) in idle {
            give_up(&mut pool, &key, &place);
            if let Ok(place) = places.take(holder, link) {
                return Ok(place);
            }
        }
        Err(full)
    }

    /// Another proxy's link to this agent is full: of the connections to it, whatever link they take here, the one that
    /// has waited longest makes room, where that is of use to the holder.
    pub(crate) fn give_up_to(&self, agent: &str, holder: &Holder, full: Full) {
        let mut pool = self.lock();
        let is_of_use = |place: &Place| full == Full::OfAll || place.holder.share == holder.share;
        let idle = idle(&pool).filter(|(_, key, place)| *key.agent == *agent && is_of_use(place));
        let longest = idle.min_by_key(|(since, ..)| *since).map(|(_, key, place)| (key.clone(), Arc::clone(place)));
        if let Some((key, place)) = longest {
            give_up(&mut pool, &key, &place);
        }
    }

    /// Drops what has waited too long, until dropped itself.
    pub(crate) async fn sweep(&self) {
        loop {
            self.clock.sleep(SWEEP_EVERY).await;
            let now = self.clock.monotonic();
            let is_young = |since: Duration| now.saturating_sub(since) < IDLE;
            self.lock().retain(|_, waiting| {
                waiting.http1.retain(|idle| is_young(idle.since) && !idle.sender.is_closed());
                let is_used = |idle: &Idle<Shared>| is_young(idle.since) || !idle.sender.is_idle();
                waiting.http2.retain(|idle| is_used(idle) && !idle.sender.sender.is_closed());
                !waiting.http1.is_empty() || !waiting.http2.is_empty()
            });
        }
    }

    /// Drops all: the proxy stops, or the session has ended.
    pub(crate) fn clear(&self, session: Option<&SessionKey>) {
        self.lock().retain(|key, _| session.is_some_and(|session| *session != key.session));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// The answer has been read to its end: the connection may carry another request.
    pub(crate) fn give_back(self) {
        match self {
            Self::Http1(Lease { pool, key, place, sender, .. }) if !sender.is_closed() => {
                let since = pool.clock.monotonic();
                let mut by_key = pool.lock();
                let waiting = &mut by_key.entry(key).or_default().http1;
                if waiting.len() < MOST_IDLE {
                    waiting.push(Idle { since, sender, place });
                }
            }
            Self::Http1(_) | Self::Http2(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_just_claimed_is_another_one() {
        let agent: Arc<str> = "a".into();
        let key = |source: &str| Key::new([0; 32], &agent, source.parse().unwrap());
        assert_eq!(key("192.0.2.1:1000"), key("[::ffff:192.0.2.1]:2000"));
        assert_ne!(key("192.0.2.1:1000"), key("192.0.2.1:0"));
        assert_ne!(key("192.0.2.1:1000"), key("192.0.2.2:1000"));
    }

    /// A connection of this user's that waits; none where all places on the link are taken.
    async fn wait(
        pool: &Arc<Pool>,
        places: &Arc<Places>,
        link: &Arc<str>,
        number: usize,
    ) -> Option<impl Sized + use<>> {
        let place = places.take(&Holder::user(&format!("user-{number}")), link).ok()?;
        let (near, far) = tokio::io::duplex(64);
        let (sender, connection) = http1::handshake(hyper_util::rt::TokioIo::new(near)).await.unwrap();
        Way::Http1(pool.lease(key(number), sender, place)).give_back();
        Some((far, connection))
    }

    /// A pool, and a link on which all places are taken by connections that wait: one of each user, the first for longest.
    async fn full() -> (Arc<Pool>, Arc<Places>, Arc<str>, Vec<impl Sized>) {
        let clock = clock::ManualClock::new(clock::Timestamp::UNIX_EPOCH);
        let (pool, places, link) = (Pool::new(clock.clock()), Arc::<Places>::default(), Arc::<str>::from("agent"));
        let mut connections = Vec::new();
        while let Some(connection) = wait(&pool, &places, &link, connections.len()).await {
            connections.push(connection);
            clock.advance(Duration::from_millis(1));
        }
        (pool, places, link, connections)
    }

    fn key(number: usize) -> Key {
        Key::new(crypto::hash::sha256(&number.to_be_bytes()), &"agent".into(), ([127, 0, 0, 1], 1).into())
    }

    fn waits(pool: &Pool, number: usize) -> bool {
        pool.lock().get(&key(number)).is_some_and(|waiting| !waiting.http1.is_empty())
    }

    #[tokio::test]
    async fn what_only_waits_keeps_nobody_out() {
        let (pool, places, link, connections) = full().await;
        let mut held = vec![pool.place(&places, &Holder::user("user-7"), &link).unwrap()];
        assert!(!waits(&pool, 7) && waits(&pool, 0), "his own first");
        held.push(pool.place(&places, &Holder::user("newcomer"), &link).unwrap());
        assert!(!waits(&pool, 0) && waits(&pool, 1), "what has waited longest");
        for number in 0..connections.len() - 2 {
            held.push(pool.place(&places, &Holder::user(&format!("busy-{number}")), &link).unwrap());
        }
        assert_eq!(
            pool.place(&places, &Holder::user("one more"), &link).err(),
            Some(Full::OfAll),
            "those are carrying something"
        );
        drop(held);
        assert!(pool.place(&places, &Holder::user("one more"), &link).is_ok());
    }

    #[tokio::test]
    async fn what_a_user_needs_now_is_taken_from_what_waits() {
        let (pool, places, link, _connections) = full().await;
        let held: Vec<_> = std::iter::from_fn(|| pool.place(&places, &Holder::user("busy"), &link).ok()).collect();
        assert_eq!(pool.place(&places, &Holder::user("busy"), &link).err(), Some(Full::OfUser));
        assert!(held.len() > 500, "{} for one while nobody else carries anything", held.len());
    }

    #[tokio::test]
    async fn whoever_is_beyond_his_share_all_the_same_costs_nobody_a_connection() {
        let (pool, places, link, _given_up) = full().await;
        let busy = Holder::user("busy");
        let _held: Vec<_> = std::iter::from_fn(|| pool.place(&places, &busy, &link).ok()).collect();
        let mut connections = Vec::new();
        while let Some(connection) = wait(&pool, &places, &link, connections.len()).await {
            connections.push(connection);
        }
        let waiting = || pool.lock().values().map(|waiting| waiting.http1.len()).sum::<usize>();
        let before = waiting();
        assert!(before >= connections.len());
        assert_eq!(pool.place(&places, &busy, &link).err(), Some(Full::OfAll));
        assert_eq!(waiting(), before);
        pool.give_up_to("agent", &busy, Full::OfUser);
        assert_eq!(waiting(), before, "none of them is his");
        pool.give_up_to("agent", &busy, Full::heard(&Full::OfAll.to_string()).unwrap());
        assert_eq!(waiting(), before - 1);
        assert_eq!(Full::heard("no tunnel to host agent"), None);
    }
}
