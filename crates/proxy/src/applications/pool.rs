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
    http1: Vec<(Duration, http1::SendRequest<RequestBody>)>,
    /// One carries many requests.
    http2: Option<(Duration, http2::SendRequest<RequestBody>)>,
}

/// A connection that carries one request now.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    pub(crate) sender: http1::SendRequest<RequestBody>,
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
        let can_carry = |(since, sender): &(Duration, http1::SendRequest<RequestBody>)| {
            sender.is_ready() || !sender.is_closed() && now.saturating_sub(*since) < SETTLES
        };
        let (_, sender) = waiting.remove(waiting.iter().rposition(can_carry)?);
        Some(Lease { pool: Arc::clone(self), key: key.clone(), sender })
    }

    /// A new connection, for its first request.
    pub(crate) fn lease(self: &Arc<Self>, key: Key, sender: http1::SendRequest<RequestBody>) -> Lease {
        Lease { pool: Arc::clone(self), key, sender }
    }

    /// The connection that carries many requests; none when there is none.
    pub(crate) fn take_http2(&self, key: &Key) -> Option<http2::SendRequest<RequestBody>> {
        let mut pool = self.lock();
        let (since, sender) = pool.get_mut(key)?.http2.as_mut()?;
        *since = self.clock.monotonic();
        (!sender.is_closed()).then(|| sender.clone())
    }

    pub(crate) fn put_http2(&self, key: Key, sender: http2::SendRequest<RequestBody>) {
        self.lock().entry(key).or_default().http2 = Some((self.clock.monotonic(), sender));
    }

    /// Drops what has waited too long, until dropped itself.
    pub(crate) async fn sweep(&self) {
        loop {
            self.clock.sleep(SWEEP_EVERY).await;
            let now = self.clock.monotonic();
            self.lock().retain(|_, waiting| {
                waiting.http1.retain(|(since, sender)| now.saturating_sub(*since) < IDLE && !sender.is_closed());
                waiting.http2.take_if(|(since, sender)| now.saturating_sub(*since) >= IDLE || sender.is_closed());
                !waiting.http1.is_empty() || waiting.http2.is_some()
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

impl Lease {
    /// The answer has been read to its end: the connection may carry another request.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let now = self.pool.clock.monotonic();
        let mut pool = self.pool.lock();
        let waiting = &mut pool.entry(self.key).or_default().http1;
        if waiting.len() < MOST_IDLE {
            waiting.push((now, self.sender));
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
}
