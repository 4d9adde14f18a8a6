//! The embedded back end: SQLite in WAL mode, one writer thread with group commit, a pool of readers.
//!
//! Batches that wait while a commit is being made durable share the next one, so the price of an `fsync` is paid once
//! for all of them. Changes are told from the writer's memory. The journal is the audit table, in the same file. It
//! must never know what a value means.

mod commit;
mod error;
mod reader;
mod rows;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use clock::Clock;
use crypto::Random;
use storage::feed::Feed;
use storage::{
    Backend, Batch, Committed, Cursor, Item, JournalPage, JournalPosition, Key, Page, Prefix, Result, Watcher,
};

pub use crate::error::OpenError;
pub use crate::schema::FORMAT;

use crate::reader::Readers;
use crate::writer::Writer;

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// After `fsync`: an answered batch survives the loss of power.
    #[default]
    Full,
    /// Survives the end of the process; the last batches may be lost with the power.
    Normal,
    /// The file may be damaged when power is lost. For tests.
    Off,
}

/// Called once, when the file can no longer be trusted to be written (a failed `fsync`): it must end the process. What
/// was lost is unknown then, and only a new start reads what is really there.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;

/// How the back end behaves.
#[derive(Clone)]
pub struct Options {
    /// When a commit counts as durable.
    pub synchronous: Synchronous,
    /// How many threads read.
    pub readers: usize,
    /// See [`FatalHook`]. Without one the back end refuses everything from then on.
    pub fatal: FatalHook,
}

impl Default for Options {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, readers: 4, fatal: Arc::new(|_| {}) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options({:?}, {} readers)", self.synchronous, self.readers)
    }
}

/// A store in one file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    clock: Clock,
    feed: Feed,
    // Dropped in this order: the writer finishes and closes last, so that it can empty the write-ahead log; then the
    // lock goes.
    readers: Readers,
    writer: Writer,
    _lock: schema::Lock,
}

impl Sqlite {
    /// Opens or makes the file, with mode 0600. Blocks for as long as that takes; a file of an older format is
    /// migrated after a copy was made beside it.
    ///
    /// # Errors
    /// Another process has it open, its format is newer than [`FORMAT`], it is no file of ours, or the system refuses.
    pub fn open(path: &Path, clock: Clock, random: &Random, options: Options) -> std::result::Result<Self, OpenError> {
        let lock = schema::Lock::take(path)?;
        let connection = schema::open(path, options.synchronous)?;
        let head = rows::head(&connection).map_err(|source| OpenError::sqlite(path, source))?;
        let incarnation = u64::from_be_bytes(random.bytes());
        let feed = Feed::new(clock.clone(), incarnation, head.position);
        let readers = Readers::start(path, options.readers, incarnation)?;
        let writer = Writer::start(connection, clock.clone(), feed.clone(), head, options.fatal)
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), clock, feed, readers, writer, _lock: lock })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let (key, now) = (key.encode(), self.clock.now());
        self.readers.run(move |reader| reader.get(&key, now)).await
    }

    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        let (mut start, end) = prefix.bounds();
        if let Some(after) = after {
            // The first byte string after the key is the key with a zero appended.
            let mut next = after.encode();
            next.push(0);
            start = start.max(next);
        }
        let now = self.clock.now();
        self.readers.run(move |reader| reader.range(&start, &end, now, limit)).await
    }

    async fn batch(&self, batch: Batch) -> Result<Committed> {
        batch.check()?;
        self.writer.batch(batch).await
    }

    async fn delete_range(&self, prefix: &Prefix) -> Result<u64> {
        let mut deleted = 0;
        loop {
            match self.writer.delete_chunk(prefix.bounds()).await? {
                0 => return Ok(deleted),
                chunk => deleted += chunk,
            }
        }
    }

    async fn watch(&self, prefix: &Prefix, cursor: Option<Cursor>) -> Result<Watcher> {
        Ok(self.feed.watch(prefix.clone(), cursor))
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Item>> {
        let now = self.clock.now();
        self.readers.run(move |reader| reader.expired(now, limit)).await
    }

    async fn journal_read(&self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage> {
        self.readers.run(move |reader| reader.journal(after, limit)).await
    }

    async fn journal_trim(&self, to: JournalPosition) -> Result<()> {
        self.writer.trim(to).await
    }
}

#[cfg(test)]
mod tests;
