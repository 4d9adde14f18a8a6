//! Events about the audit log and the store beneath it.

use jiff::Timestamp;

use crate::event::events;

events! {
    /// A checkpoint over the heads of all chains; written to the sinks, not to the journal it vouches for.
    Checkpointed = "tessera.audit.checkpoint" ["TSR050I"] (status) {
        /// The checkpoint itself, signed (see `audit::Checkpoint`).
        checkpoint: serde_json::Value,
    }

    /// Records older than the retention were dropped.
    RetentionDropped = "tessera.audit.retention" ["TSR051I"] (user) {
        /// How many records.
        records: u64,
        /// Everything dropped was older than this.
        #[serde(with = "crate::time::optional")]
        before: Option<Timestamp>,
    }

    /// The store is older than it was: locks, deletions and spent tokens since then are gone.
    RestoreDetected = "tessera.restore.detected" ["TSR052W"] (user) {
        /// How it was noticed: `audit-head` or `bot`.
        noticed_by: String,
        /// The time of the newest thing in the store.
        #[serde(with = "crate::time::optional")]
        store_time: Option<Timestamp>,
        /// The time of the newest thing known to have been in it.
        #[serde(with = "crate::time::optional")]
        known_time: Option<Timestamp>,
    }
}
