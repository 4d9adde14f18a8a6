//! The journal: opaque entries that are durable in the same commit as the change they tell about.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// One journal entry, as a batch carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Who reads the journal drops entries whose id it has already seen. A UUIDv7, unique for ever.
    pub id: Uuid,
    /// When it happened, kept to the microsecond.
    pub time: Timestamp,
    /// The record.
    pub value: Bytes,
}

/// Where in the journal an entry lies; later entries have greater positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalPosition(pub u64);

/// An entry and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its place.
    pub position: JournalPosition,
    /// The entry.
    pub entry: JournalEntry,
}

/// A piece of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPage {
    /// The entries, in commit order.
    pub records: Vec<JournalRecord>,
    /// Whether there were more when this was read.
    pub more: bool,
}
