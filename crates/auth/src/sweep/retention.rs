//! Old records of the audit log go, where the server was told how long they are kept.

use std::time::Duration;

use audit::{UserMetadata, events::audit::RetentionDropped};
use clock::Timestamp;
use domain::Error;

use crate::{Auth, failure::storage_error};

/// Between two looks: what is too old may stay this much longer.
const EVERY: Duration = Duration::from_secs(3600);

/// Remembers when it looked last.
#[derive(Debug, Default)]
pub(super) struct Retention {
    next: Duration,
}

impl Retention {
    /// One look, for a sweeper that believes `now`: a clock that is a year ahead would take the whole log.
    pub(super) async fn look(&mut self, auth: &Auth, now: Timestamp) {
        let (Some(kept), boot) = (auth.config.audit_retention, auth.clock.boot()) else { return };
        if boot < self.next {
            return;
        }
        self.next = boot + EVERY;
        let before = now.saturating_sub(kept).unwrap_or(Timestamp::MIN);
        if let Err(error) = drop_older(auth, before).await {
            tracing::warn!(%error, "old records of the audit log could not be removed; the next look tries again");
        }
    }
}

async fn drop_older(auth: &Auth, before: Timestamp) -> Result<(), Error> {
    let note = |records| {
        let user = UserMetadata::system(auth.host_name());
        auth.store.recorder().entry(&RetentionDropped { user, records, before: Some(before) })
    };
    let dropped = audit::chain::drop_before(&**auth.store.backend(), before, note).await.map_err(storage_error)?;
    if dropped > 0 {
        tracing::info!(records = dropped, %before, "old records of the audit log were removed");
    }
    Ok(())
}
