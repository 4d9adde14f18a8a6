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
pub(crate) struct Rollback {
    known: ArcSwapOption<(Known, Cursor)>,
}

fn key() -> Key {
    Key::new("tessera_rollback", "last")
}

/// Adds the note of a rollback to a change, in place of an older one: tokens made since that one may be spent as well.
pub(crate) fn note(change: Change, now: Timestamp) -> Result<Change, Error> {
    let value = serde_json::to_vec(&Known { rolled_back_at: now })
        .map_err(|error| crate::failure::internal("the note of a rollback cannot be written", error))?;
    Ok(change.put_record(key(), value, None))
}

async fn read(store: &Store) -> Result<Option<Arc<(Known, Cursor)>>, Error> {
    let Some(item) = store.record(&key()).await? else { return Ok(None) };
    let known = serde_json::from_slice(&item.value)
        .map_err(|error| crate::failure::internal("the note of a rollback cannot be read", error))?;
    Ok(Some(Arc::new((known, item.cursor))))
}

impl Rollback {
    /// What the store knows at start.
    pub(crate) async fn open(store: &Store) -> Result<Self, Error> {
        Ok(Self { known: ArcSwapOption::new(read(store).await?) })
    }

    /// When a rollback was last noticed.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        self.known.load().as_ref().map(|known| known.0.rolled_back_at)
    }

    /// Adds the note of a rollback that a bot shows, unless one stands already: after one restore each bot shows it.
    pub(crate) fn note_shown(&self, change: Change, now: Timestamp) -> Result<Change, Error> {
        if self.at().is_some() {
            return Ok(change);
        }
        note(change, now)
    }

    /// Reads what is stored. A failure changes nothing: the note is read again at the next occasion.
    pub(crate) async fn refresh(&self, store: &Store) {
        if self.at().is_some() {
            return;
        }
        if let Ok(Some(known)) = read(store).await {
            self.known.store(Some(known));
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
