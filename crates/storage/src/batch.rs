//! Batches: conditions, writes and journal entries that are durable together or not at all.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;

use crate::error::Error;
use crate::item::{Cursor, Revision};
use crate::journal::JournalEntry;
use crate::key::Key;

/// The most conditions, writes and journal entries in one batch, together.
pub const MAX_BATCH_OPERATIONS: usize = 64;

/// The most bytes of keys, values and journal entries in one batch.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// What must be so for a batch to be applied. May be about a key that the batch does not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The item is there and not expired.
    Exists(Key),
    /// The item is not there, or expired.
    Absent(Key),
    /// The item is there, not expired, and at this revision.
    Revision(Key, Revision),
    /// The item is stored at this revision and past its expiry; for the sweeper.
    Expired(Key, Revision),
}

impl Condition {
    /// The key that the condition is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Revision(key, _) | Self::Expired(key, _) => key,
        }
    }

    /// Whether it holds for what is stored under its key: the revision and expiry, if anything is. For adapters.
    pub fn holds(&self, stored: Option<(Revision, Option<Timestamp>)>, now: Timestamp) -> bool {
        let expired = |expires: Option<Timestamp>| expires.is_some_and(|expires| expires <= now);
        match (self, stored) {
            (Self::Absent(_), None) => true,
            (_, None) => false,
            (Self::Absent(_), Some((_, expires))) => expired(expires),
            (Self::Exists(_), Some((_, expires))) => !expired(expires),
            (Self::Revision(_, wanted), Some((revision, expires))) => *wanted == revision && !expired(expires),
            (Self::Expired(_, wanted), Some((revision, expires))) => *wanted == revision && expired(expires),
        }
    }
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores an item, whatever was there.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// Until when, kept to the microsecond.
        expires: Option<Timestamp>,
    },
    /// Removes an item; if it is not stored, nothing happens and nobody is told.
    Delete {
        /// Which.
        key: Key,
    },
}

impl Write {
    /// The key that is written.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// One atomic change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Checked before anything is written, all against the state before the batch.
    pub conditions: Vec<Condition>,
    /// The writes; no key twice.
    pub writes: Vec<Write>,
    /// The journal entries.
    pub journal: Vec<JournalEntry>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    pub fn require(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Adds a write of an item.
    pub fn put(mut self, key: Key, value: impl Into<Bytes>, expires: Option<Timestamp>) -> Self {
        self.writes.push(Write::Put { key, value: value.into(), expires });
        self
    }

    /// Adds the removal of an item.
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete { key });
        self
    }

    /// Adds a journal entry.
    pub fn journal(mut self, entry: JournalEntry) -> Self {
        self.journal.push(entry);
        self
    }

    /// Checks the limits that hold for every back end; each adapter does so before it begins.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::DuplicateKey`].
    pub fn check(&self) -> Result<(), Error> {
        let operations = self.conditions.len() + self.writes.len() + self.journal.len();
        if operations > MAX_BATCH_OPERATIONS {
            return Err(Error::TooLarge { what: "operations", actual: operations, limit: MAX_BATCH_OPERATIONS });
        }
        let bytes = self.size();
        if bytes > MAX_BATCH_BYTES {
            return Err(Error::TooLarge { what: "bytes", actual: bytes, limit: MAX_BATCH_BYTES });
        }
        if self.writes.len() > 1 {
            let mut seen = BTreeSet::new();
            if let Some(write) = self.writes.iter().find(|write| !seen.insert(write.key())) {
                return Err(Error::DuplicateKey { key: write.key().clone() });
            }
        }
        Ok(())
    }

    /// Bytes of everything in the batch, as the limit counts them.
    pub fn size(&self) -> usize {
        let conditions: usize = self.conditions.iter().map(|condition| condition.key().size()).sum();
        let journal: usize = self.journal.iter().map(|entry| entry.value.len()).sum();
        let writes: usize = self
            .writes
            .iter()
            .map(|write| match write {
                Write::Put { key, value, .. } => key.size() + value.len(),
                Write::Delete { key } => key.size(),
            })
            .sum();
        conditions + journal + writes
    }
}

/// A batch was applied and is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the change stream.
    pub cursor: Cursor,
    /// The revision of every item that the batch put.
    pub revision: Revision,
}
