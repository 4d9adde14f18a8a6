//! Everything the authority does, transport-free: one public operation, one file, one [`Caller`].
//!
//! An operation is a function that takes [`Auth`] and a `Caller`, asks `rbac`, changes `store` in one commit that carries
//! its audit event, and returns domain types. It must never know gRPC, sockets or which storage there is.

pub mod access;
pub mod app_sessions;
pub mod apps;
pub mod audit_log;
pub mod authorities;
pub mod bots;
pub mod caller;
pub mod certificates;
pub mod cluster_config;
pub mod decide;
pub mod instances;
pub mod inventory;
pub mod joining;
pub mod locks;
pub mod metrics;
pub mod operation;
pub mod proxies;
pub mod public_certificates;
pub mod revocations;
pub mod roles;
pub mod setup;
pub mod status;
pub mod tokens;
pub mod users;
pub mod watch;

mod background;
mod failure;
mod guard;
mod implicit;
mod query;
mod rollback;
mod search;
mod sweep;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use audit::failed_joins::FailedJoins;
use clock::Clock;
use crypto::{Random, x509};
use domain::Error;
use keystore::KeyStore;
use store::{Cache, Store};

pub use caller::{Caller, Presented};
pub use certificates::Issued;
pub use operation::{Operation, Trace};
pub use setup::{Config, Ports};

use certificates::{Opened, Signers};

/// How long after its end a bot's identity may still renew, unless configured otherwise.
pub const DEFAULT_RENEWAL_GRACE: Duration = Duration::from_secs(72 * 3600);

/// The authority. Shared by everything that serves it.
pub struct Auth {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) keystore: Arc<dyn KeyStore>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) roles: decide::Roles,
    pub(crate) proxies: proxies::Kept,
    signers: Opened<Signers>,
    failed_joins: FailedJoins,
    pub(crate) denials: audit_log::denials::Denials,
    epoch: AtomicU64,
    pub(crate) sweeper: sweep::Sweeper,
    pub(crate) started_at: clock::Timestamp,
    pub(crate) metrics: metrics::Metrics,
}

impl Auth {
    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.config.cluster_name
    }

    /// The clock that everything here lives by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The name under which this server itself acts.
    pub fn host_name(&self) -> String {
        format!("{}.{}", self.config.host_id, self.config.cluster_name)
    }

    /// What decisions are made from.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Everything that is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The signing keys, opened at the first use after an authority changed.
    pub(crate) fn signers(&self) -> Result<Arc<Signers>, Error> {
        self.signers.get_or_open(|| Signers::open(self))
    }

    /// Forgets the opened signing keys; called when an authority changed.
    pub fn forget_signers(&self) {
        self.signers.forget();
    }

    /// The certificates that clients verify this server by.
    ///
    /// # Errors
    /// When the host authority is missing or damaged.
    pub fn host_certificates(&self) -> Result<Vec<x509::Certificate>, Error> {
        Ok(self.signers()?.host_certificates.clone())
    }

    /// The certificates that callers' certificates may be issued by: users and bots, and hosts.
    ///
    /// # Errors
    /// When an authority is missing or damaged.
    pub fn client_certificates(&self) -> Result<Vec<x509::Certificate>, Error> {
        let signers = self.signers()?;
        Ok(signers.user_certificates.iter().chain(&signers.host_certificates).cloned().collect())
    }

    /// Moves on whenever something changed that decides who a caller is; a decision made in an older epoch is stale.
    pub fn epoch(&self) -> u64 {
        if self.roles.is_outdated(self.clock.now()) {
            self.roles.forget();
            self.next_epoch();
        }
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether locks and roles are known freshly enough for a decision to be used again without a look at them.
    pub fn is_fresh(&self) -> bool {
        self.cache.age().is_some_and(|age| age <= rbac::locks::STALE_AFTER)
    }

    pub(crate) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a join that failed before anybody was known; recorded merged, off the commit path.
    pub(crate) fn failed_join(&self, caller: &Caller, method: &'static str, reason: &'static str) {
        self.metrics.join_failed(method, reason);
        self.failed_joins.note(caller.remote(), method, reason);
    }
}
