//! The cache: what decisions are made from. A view of the change source that knows how old it is.
//!
//! It holds authorities, cluster configuration, roles, users, locks, applications and their servers. Tokens and
//! instances are read through. It serves decisions only: what the API returns is read from storage.

mod driver;
mod snapshot;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use clock::{Clock, Timestamp};
use domain::Kind;
use tokio::sync::{broadcast, watch};

pub use self::driver::Driver;
pub use self::snapshot::{Snapshot, Tables};
use crate::Store;

/// The kinds that the cache holds.
pub const CACHED: &[Kind] = &[
    Kind::CertAuthority,
    Kind::ClusterName,
    Kind::AuthPreference,
    Kind::NetworkingConfig,
    Kind::SessionRecordingConfig,
    Kind::AuditConfig,
    Kind::Role,
    Kind::User,
    Kind::Lock,
    Kind::App,
    Kind::AppServer,
];

/// How many changes a subscriber may be behind before it is told that it has missed some.
pub const SUBSCRIBER_BACKLOG: usize = 1_024;

/// What changed in the cache. A receiver that lags must take everything as changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// One resource was stored or removed.
    Resource {
        /// Its kind.
        kind: Kind,
        /// Its group, empty for most kinds.
        group: String,
        /// Its name.
        name: String,
    },
    /// The whole cache was read anew.
    Everything,
}

/// A handle to the cache. Cheap to clone; reads take no lock.
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    clock: Clock,
    tables: ArcSwap<Tables>,
    ready: watch::Sender<bool>,
    changes: broadcast::Sender<Changed>,
    /// When the last progress mark came: microseconds of the monotonic clock, and of the wall clock.
    fresh_monotonic: AtomicU64,
    fresh_wall: ArcSwap<Timestamp>,
}

impl Cache {
    /// An empty cache, and the driver that fills it: somebody must run [`Driver::run`] for as long as the cache lives.
    pub fn new(store: Store) -> (Self, Driver) {
        let cache = Self(Arc::new(Shared {
            clock: store.clock().clone(),
            tables: ArcSwap::default(),
            ready: watch::Sender::new(false),
            changes: broadcast::Sender::new(SUBSCRIBER_BACKLOG),
            fresh_monotonic: AtomicU64::new(0),
            fresh_wall: ArcSwap::from_pointee(Timestamp::UNIX_EPOCH),
        }));
        (cache.clone(), Driver::new(store, cache))
    }

    /// What the cache holds now; does not change under the reader. Expired resources are left out of it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.0.tables.load_full(), self.0.clock.now())
    }

    /// Whether everything was read once.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Waits until everything was read once.
    pub async fn wait_ready(&self) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives in the cache that is borrowed here.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// The wall time at which the cache was known to be complete; the epoch before it was ready.
    pub fn as_of(&self) -> Timestamp {
        **self.0.fresh_wall.load()
    }

    /// How long ago that was, whatever the wall clock did since. `None` before the cache was ready.
    pub fn age(&self) -> Option<Duration> {
        let fresh = Duration::from_micros(self.0.fresh_monotonic.load(Ordering::Acquire));
        self.is_ready().then(|| self.0.clock.monotonic().saturating_sub(fresh))
    }

    /// Tells of every change after it can be seen in [`Cache::snapshot`].
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.0.changes.subscribe()
    }

    fn publish(&self, tables: Tables, changed: impl IntoIterator<Item = Changed>) {
        self.0.tables.store(Arc::new(tables));
        for change in changed {
            // Nobody listening is no failure.
            let _ = self.0.changes.send(change);
        }
    }

    fn refreshed(&self) {
        self.0.fresh_wall.store(Arc::new(self.0.clock.now()));
        let micros = u64::try_from(self.0.clock.monotonic().as_micros()).unwrap_or(u64::MAX);
        self.0.fresh_monotonic.store(micros, Ordering::Release);
        self.0.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache(as of {})", self.as_of())
    }
}
