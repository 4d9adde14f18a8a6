//! Application sessions, fetched by their id and kept for a moment. A proxy can neither list nor make any.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use clock::{Clock, Timestamp};
use crypto::{SecretString, tls::CertificateChain};
use domain::{Error, error::Kind};

use crate::applications::agents::AgentTls;

/// How long an answer of the auth service is believed: a session that was ended there is served no longer than this.
pub(crate) const BELIEVED: Duration = Duration::from_secs(5);

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
}

/// SHA-256 of a session's id: what it is kept under. The id itself is in no table and no log.
pub(crate) type SessionKey = [u8; 32];

/// Sessions that were asked for not long ago.
pub(crate) struct SessionCache {
    source: Arc<dyn Sessions>,
    clock: Clock,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<SessionKey, Arc<Entry>>,
    sweep_at: usize,
}

/// The lock is held while the auth service is asked: once for all who wait.
#[derive(Default)]
struct Entry(tokio::sync::Mutex<Option<Known>>);

struct Known {
    session: Arc<Live>,
    as_of: Duration,
}

/// A session, and what it takes to speak with agents for it.
pub(crate) struct Live {
    pub(crate) key: SessionKey,
    pub(crate) session: AppSession,
    pub(crate) tls: OnceLock<AgentTls>,
}

impl SessionCache {
    pub(crate) fn new(source: Arc<dyn Sessions>, clock: Clock) -> Self {
        let entries = Entries { by_key: HashMap::new(), sweep_at: FIRST_SWEEP };
        Self { source, clock, entries: Mutex::new(entries) }
    }

    /// The live session with this id (whose hash is `key`). While the auth service cannot be asked, what was last known.
    pub(crate) async fn get(&self, key: &SessionKey, id: &SecretString) -> Result<Arc<Live>, Error> {
        let entry = self.entry(key);
        let mut slot = entry.0.lock().await;
        let now = self.clock.monotonic();
        if let Some(known) = &*slot
            && now.saturating_sub(known.as_of) < BELIEVED
        {
            return self.unexpired(&known.session);
        }
        match self.source.fetch(id).await {
            Ok(session) => {
                let session = Arc::new(Live { key: *key, session, tls: OnceLock::new() });
                *slot = Some(Known { session: Arc::clone(&session), as_of: now });
                self.unexpired(&session)
            }
            Err(error) if error.kind == Kind::Unavailable && slot.is_some() => {
                tracing::warn!(%error, "a session cannot be checked; what was last known is used");
                slot.as_ref().map_or(Err(error), |known| self.unexpired(&known.session))
            }
            Err(error) => {
                *slot = None;
                drop(slot);
                self.forget(key);
                Err(error)
            }
        }
    }

    /// Asks anew next time.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.lock().by_key.remove(key);
    }

    fn unexpired(&self, live: &Arc<Live>) -> Result<Arc<Live>, Error> {
        if live.session.expires <= self.clock.now() {
            return Err(Error::not_found("the session has ended"));
        }
        Ok(Arc::clone(live))
    }

    fn entry(&self, key: &SessionKey) -> Arc<Entry> {
        let mut entries = self.lock();
        if let Some(entry) = entries.by_key.get(key) {
            return Arc::clone(entry);
        }
        if entries.by_key.len() >= entries.sweep_at {
            let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
            entries.by_key.retain(|_, entry| match entry.0.try_lock().as_deref() {
                Ok(Some(known)) => {
                    known.session.session.expires > now && monotonic.saturating_sub(known.as_of) < BELIEVED * 12
                }
                Ok(None) => false,
                Err(_) => true,
            });
            entries.sweep_at = FIRST_SWEEP.max(entries.by_key.len() * 2);
        }
        Arc::clone(entries.by_key.entry(*key).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
