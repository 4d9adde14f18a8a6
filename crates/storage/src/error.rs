//! How an operation of a back end fails.

use crate::key::Key;

/// Why a back end did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A condition of the batch did not hold; nothing was written.
    #[error("condition {index} on {key} does not hold")]
    Condition {
        /// Which condition, counted from 0.
        index: usize,
        /// The key it is about.
        key: Key,
    },
    /// The batch is over a limit; nothing was written.
    #[error("batch is too large: {actual} {what}, at most {limit} are allowed")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there were.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The batch writes one key twice; nothing was written.
    #[error("batch writes {key} twice")]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// The batch was either applied whole or not at all, and nobody can say which.
    #[error("outcome of the batch is unknown: {reason}")]
    OutcomeUnknown {
        /// What happened.
        reason: String,
    },
    /// Not now: the disk is full, the file is read-only, the process is ending. Nothing was written.
    #[error("storage is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// What is stored cannot be what this program wrote.
    #[error("storage is corrupt: {what}")]
    Corrupt {
        /// What was found, and where.
        what: String,
    },
}
