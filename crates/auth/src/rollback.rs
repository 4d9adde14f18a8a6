//! A store that is older than what was issued from it: found at start, or by the first bot that is ahead of it.

use clock::Timestamp;
use domain::{Error, resources::Token};
use serde::{Deserialize, Serialize};
use storage::{Cursor, Item, Key};
use store::{Change, Keyed as _, Store};

/// How many rollbacks are remembered; what is refused because of one is refused because of the newest.
const REMEMBERED: usize = 16;

/// The rollbacks that were noticed, oldest first; durable, because single-use tokens that one brought back stay refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rollbacks {
    /// When each was noticed. Locks, deletions and spent tokens of the time before may be gone.
    pub(crate) rolled_back_at: Vec<Timestamp>,
}

fn key() -> Key {
    Key::new("tessera_rollback", "all")
}

/// The rollbacks that the store knows of.
pub(crate) async fn known(store: &Store) -> Result<Rollbacks, Error> {
    store.record(&key()).await?.map_or_else(|| Ok(Rollbacks::default()), |item| decode(&item))
}

/// Adds a rollback that was noticed now: tokens made since an older one may be spent as well.
pub(crate) async fn note(mut change: Change, now: Timestamp) -> Result<Change, Error> {
    let (mut rollbacks, _) = read(&mut change).await?;
    rollbacks.rolled_back_at.push(now);
    let excess = rollbacks.rolled_back_at.len().saturating_sub(REMEMBERED);
    rollbacks.rolled_back_at.drain(..excess);
    let value = serde_json::to_vec(&rollbacks)
        .map_err(|error| crate::failure::internal("the note of a rollback cannot be written", error))?;
    Ok(change.put_record(key(), value, None))
}

/// Adds the rollback that a bot shows by a certificate which the store does not know of.
///
/// After one restore each bot shows it, and one note is enough. A certificate that was issued after the newest note was lost
/// by a restore after that: another one.
pub(crate) async fn note_shown(mut change: Change, issued_at: Timestamp, now: Timestamp) -> Result<Change, Error> {
    let (rollbacks, _) = read(&mut change).await?;
    match rollbacks.rolled_back_at.last() {
        Some(newest) if issued_at <= *newest => Ok(change),
        _ => note(change, now).await,
    }
}

/// Whether a token was stored before the newest rollback was noticed, so that it may have been spent before it.
pub(crate) async fn predates(change: &mut Change, token: &Token) -> Result<bool, Error> {
    let (_, Some(noted)) = read(change).await? else { return Ok(false) };
    let Some(item) = change.read_record(token.key()).await? else { return Ok(false) };
    // Cursors of another incarnation of the store cannot be compared: such a token is older, too.
    Ok(item.cursor.partial_cmp(&noted).is_none_or(|order| order.is_lt()))
}

async fn read(change: &mut Change) -> Result<(Rollbacks, Option<Cursor>), Error> {
    match change.read_record(key()).await? {
        None => Ok((Rollbacks::default(), None)),
        Some(item) => Ok((decode(&item)?, Some(item.cursor))),
    }
}

fn decode(item: &Item) -> Result<Rollbacks, Error> {
    serde_json::from_slice(&item.value)
        .map_err(|error| crate::failure::internal("the note of a rollback cannot be read", error))
}
