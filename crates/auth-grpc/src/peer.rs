//! The other end of a connection: what it showed in the handshake, and who that makes it at this moment.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use auth::{Auth, Caller, Presented};
use domain::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::receive::Budget;

/// How many watches one connection may hold. A program has one or two, a proxy with its caches some ten; each of 250 streams
/// could keep what it asked for and a place in the change stream otherwise. Instances of one bot have connections of their
/// own and share only the bytes of their user.
const WATCHES: usize = 16;

/// One connection's other end. The decision who it is, is kept while nothing changed on which it depends.
#[derive(Debug)]
pub struct Peer {
    presented: Presented,
    remote: String,
    known: ArcSwapOption<Known>,
    budget: Arc<Budget>,
    stranger_budget: Arc<Budget>,
    /// A connection has one certificate, and so one user.
    user_budget: OnceLock<Arc<Budget>>,
    watches: Arc<Semaphore>,
    /// See [`Options`](crate::Options).
    end_of_watches: CancellationToken,
}

#[derive(Debug)]
struct Known {
    epoch: u64,
    caller: Arc<Caller>,
}

impl Peer {
    /// The other end of a new connection, whose watches end with that token.
    pub fn new(presented: Presented, remote: impl Into<String>, end_of_watches: CancellationToken) -> Self {
        Self {
            presented,
            remote: remote.into(),
            known: ArcSwapOption::empty(),
            budget: Arc::new(Budget::of_connection()),
            stranger_budget: Arc::new(Budget::of_stranger()),
            user_budget: OnceLock::new(),
            watches: Arc::new(Semaphore::new(WATCHES)),
            end_of_watches,
        }
    }

    /// What its requests may hold once it is known.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// What its requests may hold as long as it is not known.
    pub(crate) fn stranger_budget(&self) -> Arc<Budget> {
        Arc::clone(&self.stranger_budget)
    }

    /// What the requests of all connections of its user may hold.
    pub(crate) fn user_budget(&self, find: impl FnOnce() -> Arc<Budget>) -> Arc<Budget> {
        Arc::clone(self.user_budget.get_or_init(find))
    }

    /// A place for one more watch, held as long as the watch runs.
    ///
    /// # Errors
    /// Limit.
    pub(crate) fn watch_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            Error::limit(format!(
                "at most {WATCHES} watches run on one connection: end one, or put its kinds into another"
            ))
        })
    }

    /// Waits until what never ends by itself is to end; says what it ends with.
    pub(crate) async fn end_of_watches(&self) -> Error {
        self.end_of_watches.cancelled().await;
        Error::unavailable("the auth service stops; watch again at the next one")
    }

    /// Where it is.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// What it showed.
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// Who it is, decided again if anything changed that matters: an expiry, a lock, a role, a user, an authority.
    ///
    /// # Errors
    /// As `Auth::authenticate`.
    pub fn caller(&self, auth: &Auth) -> Result<Arc<Caller>, Error> {
        // Read before deciding: what changes meanwhile makes the decision stale at once.
        let epoch = auth.epoch();
        let has_ended = Auth::presented_until(&self.presented).is_some_and(|end| end <= auth.clock().now());
        if let Some(known) = self.known.load().as_ref()
            && known.epoch == epoch
            && !has_ended
            && auth.is_fresh()
        {
            return Ok(Arc::clone(&known.caller));
        }
        let caller = Arc::new(auth.authenticate(&self.presented, &self.remote)?);
        self.known.store(Some(Arc::new(Known { epoch, caller: Arc::clone(&caller) })));
        Ok(caller)
    }

    /// The same peer as a stranger, for what anyone may call.
    pub fn anonymous(&self) -> Arc<Caller> {
        Arc::new(Caller::anonymous(self.remote.clone()))
    }
}
