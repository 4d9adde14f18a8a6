//! The back-end port: what every place that keeps a cluster's state promises, an in-memory back end, and the suite
//! that holds each adapter to the promise.
//!
//! Written for the weakest common promise of SQLite, PostgreSQL and etcd. It must never know what a value means:
//! values are opaque bytes here, resources begin in `store`.

pub mod conformance;
pub mod fault;
pub mod feed;
pub mod memory;

mod batch;
mod error;
mod item;
mod journal;
mod key;

use async_trait::async_trait;

pub use crate::batch::{Batch, Committed, Condition, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, Write};
pub use crate::error::Error;
pub use crate::feed::{Change, PROGRESS_WITHIN, WatchEvent, Watcher};
pub use crate::item::{Cursor, Item, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, Page, Revision};
pub use crate::journal::{JournalEntry, JournalPage, JournalPosition, JournalRecord};
pub use crate::key::{Key, Prefix};

/// What every operation of a back end returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A place that keeps items, tells about changes and carries the journal.
///
/// Reads are linearizable: a read begun after a batch was answered sees it. Reads and conditions treat an item whose
/// `expires` is not after the clock's now as absent; [`Backend::expired`] and [`Condition::Expired`] exist so that a
/// sweeper can remove such items. Errors of every method: [`Error::Unavailable`], [`Error::Corrupt`], and what the
/// method names.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// One item, if it is there and not expired.
    async fn get(&self, key: &Key) -> Result<Option<Item>>;

    /// Items under a prefix, in key order, beginning after `after`; at most `limit`, [`MAX_PAGE_ITEMS`] and about
    /// [`MAX_PAGE_BYTES`], but at least one if there is one. Each page is a snapshot of its own, at `Page::cursor`.
    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page>;

    /// Applies all of a batch, durably, or none of it. A batch without writes and entries only checks its conditions.
    ///
    /// # Errors
    /// [`Error::Condition`] names the first condition that does not hold; [`Error::TooLarge`] and
    /// [`Error::DuplicateKey`] are found before anything happens; after [`Error::OutcomeUnknown`] the batch may or
    /// may not have been applied, whole in any case.
    async fn batch(&self, batch: Batch) -> Result<Committed>;

    /// Deletes everything under a prefix, expired items too, in chunks: not atomic. Returns how many items went.
    async fn delete_range(&self, prefix: &Prefix) -> Result<u64>;

    /// Every change under `prefix` later than `cursor` (or than now), at least once, in one order for all watchers.
    async fn watch(&self, prefix: &Prefix, cursor: Option<Cursor>) -> Result<Watcher>;

    /// Items past their expiry that are still stored, oldest expiry first, for the sweeper.
    async fn expired(&self, limit: usize) -> Result<Vec<Item>>;

    /// Journal entries after a position (from the oldest one that was not trimmed, without one), in commit order; as many
    /// as [`Backend::range`] gives items.
    async fn journal_read(&self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage>;

    /// Forgets the journal up to and including `to`: readers no longer see it, and it is deleted, in chunks.
    async fn journal_trim(&self, to: JournalPosition) -> Result<()>;

    /// Whether items survive the end of the process; `Some` names the reason when they do not, for a warning at start.
    fn volatile(&self) -> Option<&'static str> {
        None
    }
}
