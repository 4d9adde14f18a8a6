//! Typed repositories, written once over `storage`, and the cache fed by a change source.
//!
//! A read is `store.get::<Role>("ci")`, a list `store.list::<Role>(..)`, and every mutation one [`Change`]: an atomic
//! batch of resources, records, conditions and audit events. It must never know who asks: authorization happens above.

pub mod cache;
pub mod changes;

mod change;
mod error;
mod keyed;
mod list;
mod repository;

use std::fmt;
use std::sync::Arc;

use audit::Recorder;
use clock::Clock;
use domain::Error;
use storage::{Backend, Item, Key};

pub use crate::cache::{Cache, Snapshot};
pub use crate::change::{Change, Receipt, settle};
pub use crate::changes::{ChangeEvent, Changes};
pub use crate::keyed::{Keyed, group_of};
pub use crate::list::{
    DEFAULT_PAGE_SIZE, ListRequest, MAX_PAGE_BYTES, MAX_PAGE_SIZE, MAX_SCAN, Page, SCAN_AFTER_MATCH,
};
pub use crate::repository::{Repository, revision_text};

/// How many stored resources are decoded and shown before another task gets its turn: a millisecond, where a whole page
/// would keep a worker busy for tens of them.
pub(crate) const DECODED_AT_ONCE: usize = 64;

/// Everything that is kept, as typed resources. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
    recorder: Recorder,
    decoded: Arc<changes::Decoded>,
}

impl Store {
    /// A store over a back end; `recorder` turns the events of changes into journal entries.
    pub fn new(backend: Arc<dyn Backend>, recorder: Recorder) -> Self {
        Self { backend, recorder, decoded: Arc::default() }
    }

    /// The back end, for what is no resource: the sweeper, the journal.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What stamps audit events.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The clock that the store lives by.
    pub fn clock(&self) -> &Clock {
        self.recorder.clock()
    }

    /// The repository of one kind.
    pub fn repository<T: Keyed>(&self) -> Repository<T> {
        Repository::new(self.backend.clone())
    }

    /// See [`Repository::get`].
    ///
    /// # Errors
    /// When the back end fails or holds something unreadable.
    pub async fn get<T: Keyed>(&self, name: &str) -> Result<Option<T>, Error> {
        self.repository::<T>().get(name).await
    }

    /// See [`Repository::get_in`].
    ///
    /// # Errors
    /// When the back end fails or holds something unreadable.
    pub async fn get_in<T: Keyed>(&self, group: &str, name: &str) -> Result<Option<T>, Error> {
        self.repository::<T>().get_in(group, name).await
    }

    /// See [`Repository::fetch`].
    ///
    /// # Errors
    /// Not found, or as for [`Store::get`].
    pub async fn fetch<T: Keyed>(&self, name: &str) -> Result<T, Error> {
        self.repository::<T>().fetch(name).await
    }

    /// See [`Repository::list`].
    ///
    /// # Errors
    /// Invalid page token, or as for [`Store::get`].
    pub async fn list<T: Keyed>(&self, request: &ListRequest<'_>) -> Result<Page<T>, Error> {
        self.repository::<T>().list(request, |_| true).await
    }

    /// All resources of a kind; for kinds of which there are few.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub async fn all<T: Keyed>(&self) -> Result<Vec<T>, Error> {
        self.repository::<T>().all().await
    }

    /// A stored item that is no resource.
    ///
    /// # Errors
    /// When the back end fails.
    pub async fn record(&self, key: &Key) -> Result<Option<Item>, Error> {
        self.backend.get(key).await.map_err(error::from_storage)
    }

    /// Begins an atomic change.
    pub fn change(&self) -> Change {
        Change::new(self.clone())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests;
