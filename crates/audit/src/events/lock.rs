//! Events about locks.

use serde_json::Value;

use crate::event::events;

events! {
    /// A lock was created or changed.
    LockCreate = "lock.created" ["TLK00I"] (resource, user, connection) {
        /// What is locked, in the lock document's form. Kept beside `lock` for readers of older logs.
        target: Value,
        /// The lock: `{"target": …}`.
        lock: LockMetadata,
    }

    /// A lock was deleted.
    LockDelete = "lock.deleted" ["TLK01I"] (resource, user, connection) {
        /// The lock: `{"target": …}`.
        lock: LockMetadata,
    }
}

/// What a lock event says about the lock.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LockMetadata {
    /// What is locked, in the lock document's form.
    pub target: Value,
    /// The message that locked callers are shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
