//! Application sessions, fetched by their id and kept for a moment. A proxy can neither list nor make any.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use clock::{Clock, Timestamp};
use crypto::{SecretString, tls::CertificateChain};
use domain::{Error, error::Kind};
use tokio::sync::watch;

use crate::{Metrics, applications::agents::AgentTls};

/// How long an answer of the auth service is believed: a session that was ended there is served no longer than this.
pub(crate) const BELIEVED: Duration = Duration::from_secs(5);

/// How long the auth service may take to say something about a session, where an earlier word is there to go by; and how
/// long it is not asked again if it has said nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same where there is none.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// Sessions that are kept before the first look for those that nobody uses.
const FIRST_SWEEP: usize = 1024;

/// A session of somebody with one application, as the auth service made it.
#[derive(Debug)]
pub struct AppSession {
    /// Whose it is.
    pub user: String,
    /// The application's name.
    pub app: String,
    /// The application's public address, as the route names it.
    pub public_addr: String,
    /// The port of a TCP application with several; 0 for its first one.
    pub target_port: u16,
    /// When it ends.
    pub expires: Timestamp,
    /// Who may use it.
    pub holder: Holder,
    /// What the agent is shown: made by the auth service for this session, and for nothing else.
    pub certificate: CertificateChain,
}

/// Who may use a session. Neither kind is accepted in the other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Whoever shows a certificate whose SPKI has this SHA-256.
    ClientKey([u8; 32]),
    /// Whoever shows a token with this SHA-256, beside the id.
    Bearer([u8; 32]),
}

/// Where sessions come from.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// The live session with this id.
    ///
    /// # Errors
    /// Not found when there is none (any more).
    async fn fetch(&self, id: &SecretString) -> Result<AppSession, Error>;

    /// Ends the session with this id: its user has said so.
    ///
    /// # Errors
    /// Not found when there is none (any more).
    async fn end(&self, id: &SecretString) -> Result<(), Error>;
}

fn unanswered() -> Error {
    Error::unavailable("the auth service does not answer")
}

/// SHA-256 of a session's id: what it is kept under. The id itself is in no table and no log.
pub(crate) type SessionKey = [u8; 32];

/// Sessions that were asked for not long ago.
pub(crate) struct SessionCache {
    source: Arc<dyn Sessions>,
    clock: Clock,
    entries: Mutex<Entries>,
    /// Whether a word that is older than [`BELIEVED`] is none (`locking_mode: strict`).
    is_strict: AtomicBool,
    /// Counts what may concern what runs.
    forgotten: watch::Sender<u64>,
    /// Counts what may have ended sessions: an answer from before counts no more.
    doubts: AtomicU64,
    metrics: Metrics,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<SessionKey, Arc<Entry>>,
    sweep_at: usize,
}

impl Entries {
    /// Forgets the sessions that have ended and those that nobody uses: that were not asked for lately when the auth service
    /// was last heard. While it is away nobody's moment moves, and who was there before is kept.
    fn sweep(&mut self, now: Timestamp) {
        let known = self.by_key.values().filter_map(|entry| entry.0.try_lock().ok()?.known.as_ref().map(|it| it.as_of));
        let heard = known.max().unwrap_or_default();
        self.by_key.retain(|_, entry| match entry.0.try_lock() {
            Ok(slot) => slot.known.as_ref().is_some_and(|known| {
                let is_used = slot.unheard.is_some() || heard.saturating_sub(known.as_of) < BELIEVED * 12;
                is_used && known.session.session.expires > now
            }),
            Err(_) => true,
        });
        self.sweep_at = FIRST_SWEEP.max(self.by_key.len() * 2);
    }
}

/// The lock is held while the auth service is asked: once for all who wait.
#[derive(Default)]
struct Entry(tokio::sync::Mutex<Slot>);

#[derive(Default)]
struct Slot {
    known: Option<Known>,
    /// When the auth service last had nothing to say.
    unheard: Option<Duration>,
}

struct Known {
    session: Arc<Live>,
    as_of: Duration,
    doubts: u64,
}

impl Slot {
    /// Everybody who waits in a queue would ask, each as long as the one before.
    fn is_let_be(&self, now: Duration) -> bool {
        self.unheard.is_some_and(|since| now.saturating_sub(since) < PATIENCE)
    }
}

/// A session, and what it takes to speak with agents for it.
pub(crate) struct Live {
    pub(crate) key: SessionKey,
    pub(crate) session: AppSession,
    pub(crate) tls: OnceLock<AgentTls>,
}

impl SessionCache {
    pub(crate) fn new(source: Arc<dyn Sessions>, clock: Clock, metrics: Metrics) -> Self {
        let entries = Entries { by_key: HashMap::new(), sweep_at: FIRST_SWEEP };
        let (is_strict, forgotten) = (AtomicBool::new(false), watch::Sender::new(0));
        let (entries, doubts) = (Mutex::new(entries), AtomicU64::new(0));
        Self { source, clock, entries, is_strict, forgotten, doubts, metrics }
    }

    /// The live session with this id (whose hash is `key`). While the auth service says nothing, what was last known; in
    /// strict mode, nothing.
    pub(crate) async fn get(&self, key: &SessionKey, id: &SecretString) -> Result<Arc<Live>, Error> {
        let entry = self.entry(key);
        let mut slot = entry.0.lock().await;
        let (now, doubts) = (self.clock.monotonic(), self.doubts.load(Ordering::Acquire));
        let is_fresh = |known: &Known| now.saturating_sub(known.as_of) < BELIEVED && known.doubts == doubts;
        match &slot.known {
            Some(known) if is_fresh(known) || slot.is_let_be(now) => return self.usable(known, now),
            None if slot.is_let_be(now) => return Err(unanswered()),
            _ => {}
        }
        let patience = if slot.known.is_some() { PATIENCE } else { FIRST_PATIENCE };
        let fetched = self.clock.timeout(patience, self.source.fetch(id)).await;
        let error = match fetched.unwrap_or_else(|_| Err(unanswered())) {
            Ok(session) => {
                let session = Arc::new(Live { key: *key, session, tls: OnceLock::new() });
                let known = Some(Known { session: Arc::clone(&session), as_of: now, doubts });
                *slot = Slot { known, unheard: None };
                return self.unexpired(&session);
            }
            Err(error) => error,
        };
        if error.kind.is_silence() {
            slot.unheard = Some(self.clock.monotonic());
            if let Some(known) = &slot.known {
                tracing::warn!(%error, "a session cannot be checked; what was last known is used");
                return self.usable(known, now);
            }
        }
        let was_live = slot.known.take().is_some();
        drop(slot);
        self.lock().by_key.remove(key);
        if was_live {
            self.tell();
        }
        Err(error)
    }

    fn usable(&self, known: &Known, now: Duration) -> Result<Arc<Live>, Error> {
        if now.saturating_sub(known.as_of) >= BELIEVED {
            if self.is_strict.load(Ordering::Relaxed) {
                return Err(Error::unavailable(
                    "the session cannot be checked, and the cluster's locking mode is strict",
                ));
            }
            self.metrics.stale_decisions.inc();
        }
        self.unexpired(&known.session)
    }

    /// Ends a session at the auth service, and forgets it.
    pub(crate) async fn end(&self, key: &SessionKey, id: &SecretString) -> Result<(), Error> {
        match self.source.end(id).await {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            _ => {
                self.forget(key);
                Ok(())
            }
        }
    }

    /// Whether what cannot be checked is refused.
    pub(crate) fn set_strict(&self, is_strict: bool) {
        self.is_strict.store(is_strict, Ordering::Relaxed);
    }

    /// Tells when a session was forgotten, so that what runs on one asks again.
    pub(crate) fn forgotten(&self) -> watch::Receiver<u64> {
        self.forgotten.subscribe()
    }

    /// Differs from what it was when something was forgotten since.
    pub(crate) fn moment(&self) -> u64 {
        *self.forgotten.borrow()
    }

    /// Asks anew for every session next time, and lets what runs on one ask at once: something happened that may have
    /// ended some.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Release);
        self.tell();
    }

    /// Asks anew next time.
    pub(crate) fn forget(&self, key: &SessionKey) {
        let gone = self.lock().by_key.remove(key);
        // Anybody can invent one that was never there, and would wake all that runs.
        if gone.is_some_and(|entry| entry.0.try_lock().map_or(true, |slot| slot.known.is_some())) {
            self.tell();
        }
    }

    fn tell(&self) {
        self.forgotten.send_modify(|count| *count += 1);
    }

    fn unexpired(&self, live: &Arc<Live>) -> Result<Arc<Live>, Error> {
        if live.session.expires <= self.clock.now() {
            return Err(Error::not_found("the session has ended"));
        }
        Ok(Arc::clone(live))
    }

    /// Whether something is known of the session, or asked.
    pub(crate) fn knows(&self, key: &SessionKey) -> bool {
        self.lock().by_key.contains_key(key)
    }

    fn entry(&self, key: &SessionKey) -> Arc<Entry> {
        let mut entries = self.lock();
        if let Some(entry) = entries.by_key.get(key) {
            return Arc::clone(entry);
        }
        if entries.by_key.len() >= entries.sweep_at {
            entries.sweep(self.clock.now());
        }
        Arc::clone(entries.by_key.entry(*key).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
