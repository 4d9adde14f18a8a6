//! What has expired is removed, some time later: nothing depends on it, so it may wait whenever the clock is in doubt.

pub(crate) mod machine;
mod retention;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::{Clock, Timestamp};
use domain::Error;
use storage::{Backend, Batch, Condition, Item, Key, Write};
use store::Change;

use crate::{
    Auth, app_sessions,
    failure::{internal, storage_error},
};
use machine::{Machine, Mark, Verdict};
use retention::Retention;

/// How often the sweeper looks: what ends by itself is on record so soon after its end.
const EVERY: Duration = Duration::from_secs(5);

/// How many items one commit removes: a condition, a write and perhaps an entry of the journal each, within the bounds of
/// a batch.
const PER_COMMIT: usize = storage::MAX_BATCH_OPERATIONS / 3;

/// How many commits one look makes at most, so that a great many expired items do not crowd out everybody else's commits.
const COMMITS: usize = 64;

/// What others may know of the sweeper.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    pause: Mutex<Option<String>>,
}

impl Sweeper {
    /// Why it waits although something may have expired; nothing when it works, or waits as after every start.
    pub(crate) fn pause(&self) -> Option<String> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Auth {
    /// Sweeps until `stop`.
    pub(crate) async fn sweep(self: Arc<Self>, stop: service::Stop) -> Result<(), Error> {
        let backend = self.store.backend();
        let mut mark = self.mark().await?;
        let (mut machine, mut retention) = (Machine::new(Some(mark)), Retention::default());
        loop {
            let (now, boot) = (self.clock.now(), self.clock.boot());
            match machine.look(now, boot) {
                Verdict::Sweep => {
                    self.sweeper.set(None);
                    if mark.is_old(now, boot) {
                        mark = Mark { wall: now, boot: Some(boot), doubted: None };
                        put_mark(&**backend, mark).await?;
                    }
                    if let Err(error) = self.sweep_once(now).await {
                        tracing::warn!(%error, "expired items could not be removed; the next look tries again");
                    }
                    retention.look(&self, now).await;
                }
                Verdict::Wait { reason } => {
                    self.sweeper.set(reason);
                    let noted = Mark { doubted: machine.doubted(), ..mark };
                    if noted != mark {
                        match put_mark(&**backend, noted).await {
                            Ok(()) => mark = noted,
                            Err(error) => tracing::warn!(%error, "the doubt about the clock could not be stored yet"),
                        }
                    }
                }
            }
            tokio::select! {
                () = self.clock.sleep(EVERY) => {}
                () = stop.requested() => return Ok(()),
            }
        }
    }

    /// The last look that was believed. A checkpoint's time is none, because checkpoints are made under a wrong clock
    /// as well: the newest one stands in for a mark only where there is none yet, and is kept as such.
    async fn mark(&self) -> Result<Mark, Error> {
        let backend = self.store.backend();
        if let Some(item) = backend.get(&mark_key()).await.map_err(storage_error)? {
            let text = std::str::from_utf8(&item.value).unwrap_or_default();
            return text.parse().map_err(|error| internal("the sweeper's time mark cannot be read", error));
        }
        let last = audit::chain::last_checkpoint(&**backend).await.map_err(storage_error)?;
        let mark = Mark { wall: last.map_or_else(|| self.clock.now(), |last| last.time), boot: None, doubted: None };
        put_mark(&**backend, mark).await?;
        Ok(mark)
    }

    /// Removes what has expired at `now`, as many as one look may. The clock may have been set since it was looked at.
    pub(crate) async fn sweep_once(&self, now: Timestamp) -> Result<usize, Error> {
        let backend = self.store.backend();
        let mut removed = 0;
        for _ in 0..COMMITS {
            let mut expired = backend.expired(PER_COMMIT).await.map_err(storage_error)?;
            expired.retain(|item| item.expires.is_some_and(|end| end <= now));
            if expired.is_empty() {
                break;
            }
            let found = expired.len();
            let now_removed = match backend.batch(self.removal(&expired)).await {
                Ok(_) => found,
                // One of them was written anew in this moment: each by itself then.
                Err(storage::Error::Condition { .. }) => self.one_by_one(&expired).await?,
                Err(error) => return Err(storage_error(error)),
            };
            removed += now_removed;
            if found < PER_COMMIT || now_removed == 0 {
                break;
            }
        }
        if removed > 0 {
            tracing::debug!(removed, "expired items were removed");
        }
        Ok(removed)
    }

    async fn one_by_one(&self, expired: &[Item]) -> Result<usize, Error> {
        let mut removed = 0;
        for item in expired {
            match self.store.backend().batch(self.removal(std::slice::from_ref(item))).await {
                Ok(_) => removed += 1,
                Err(storage::Error::Condition { .. }) => {}
                Err(error) => return Err(storage_error(error)),
            }
        }
        Ok(removed)
    }

    /// Removes each of them if it is still the one that was found, and still expired. The end of a session is recorded.
    fn removal(&self, expired: &[Item]) -> Batch {
        Batch {
            conditions: expired.iter().map(|item| Condition::Expired(item.key.clone(), item.revision)).collect(),
            writes: expired.iter().map(|item| Write::Delete { key: item.key.clone() }).collect(),
            journal: app_sessions::expired(self, expired),
        }
    }
}

/// Adds to a change that the clock is believed as it is now.
pub(crate) fn believe(change: Change, clock: &Clock) -> Change {
    let mark = Mark { wall: clock.now(), boot: Some(clock.boot()), doubted: None };
    change.put_record(mark_key(), mark.to_string(), None)
}

fn mark_key() -> Key {
    Key::new("tessera_sweep", "mark")
}

async fn put_mark(backend: &dyn Backend, mark: Mark) -> Result<(), Error> {
    let batch = Batch::new().put(mark_key(), mark.to_string(), None);
    backend.batch(batch).await.map(|_| ()).map_err(storage_error)
}
