//! A store that is older than what was issued from it: found at start, or by the first bot that is ahead of it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use clock::Timestamp;
use domain::{Error, resources::Token};
use serde::{Deserialize, Serialize};
use storage::{Cursor, Key};
use store::{Change, Keyed as _, Store};

/// What is known about the last rollback; durable, because single-use tokens that it brought back stay refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    /// When it was noticed. Locks, deletions and spent tokens of the time before may be gone.
    pub(crate) rolled_back_at: Timestamp,
}

/// The rollback, if there was one.
#[derive(Default)]
pub(crate) struct Rollback {
    known: ArcSwapOption<(Known, Cursor)>,
}

fn key() -> Key {
    Key::new("tessera_rollback", "last")
}

impl Rollback {
    /// When a rollback was last noticed.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        self.known.load().as_ref().map(|known| known.0.rolled_back_at)
    }

    /// Adds the note of a rollback to a change, unless one stands already.
    pub(crate) fn note(&self, change: Change, now: Timestamp) -> Result<Change, Error> {
        if self.at().is_some() {
            return Ok(change);
        }
        let value = serde_json::to_vec(&Known { rolled_back_at: now })
            .map_err(|error| crate::failure::internal("the note of a rollback cannot be written", error))?;
        Ok(change.put_record(key(), value, None))
    }

    /// Reads what is stored. A failure changes nothing: the note is read again at the next occasion.
    pub(crate) async fn refresh(&self, store: &Store) {
        if self.at().is_some() {
            return;
        }
        if let Ok(Some(item)) = store.record(&key()).await
            && let Ok(known) = serde_json::from_slice::<Known>(&item.value)
        {
            self.known.store(Some(Arc::new((known, item.cursor))));
        }
    }

    /// Whether a token was stored before the rollback was noticed, so that it may have been spent before it.
    pub(crate) async fn predates(&self, store: &Store, token: &Token) -> Result<bool, Error> {
        let Some(known) = self.known.load_full() else { return Ok(false) };
        let Some(item) = store.record(&token.key()).await? else { return Ok(false) };
        // Cursors of another incarnation of the store cannot be compared: such a token is older, too.
        Ok(item.cursor.partial_cmp(&known.1).is_none_or(|order| order.is_lt()))
    }
}
