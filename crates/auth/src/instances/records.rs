//! Where lineages, tombstones and the pending answers of joins are kept: beside the public documents, in the same commits.

use clock::Timestamp;
use domain::Error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Condition, Key, Revision};
use store::{Change, Store};

use super::lineage::Lineage;

const LINEAGE: &str = "tessera_lineage";
const TOMBSTONE: &str = "tessera_tombstone";
const JOIN_ANSWER: &str = "tessera_join_answer";

/// A lineage and the version of it that was read, so that two renewals at once cannot both advance it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) lineage: Lineage,
    pub(crate) revision: Revision,
}

/// Which instance a spent token's pending answer belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JoinAnswer {
    pub(crate) bot: String,
    pub(crate) instance: String,
}

/// What is left of a deleted instance: it tells a deletion from a store that was rolled back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tombstone {
    at: Timestamp,
}

/// The name under which a token's answer is kept; the token itself is a secret and leaves with its record.
pub(crate) fn token_hash(token: &str) -> String {
    crypto::hash::sha256_hex(token.as_bytes())
}

pub(crate) async fn lineage(store: &Store, instance: &str) -> Result<Option<Kept>, Error> {
    Ok(read(store, &Key::new(LINEAGE, instance)).await?.map(|(lineage, revision)| Kept { lineage, revision }))
}

pub(crate) async fn join_answer(store: &Store, token_hash: &str) -> Result<Option<JoinAnswer>, Error> {
    Ok(read(store, &Key::new(JOIN_ANSWER, token_hash)).await?.map(|(answer, _)| answer))
}

pub(crate) async fn is_deleted(store: &Store, instance: &str) -> Result<bool, Error> {
    Ok(store.record(&Key::new(TOMBSTONE, instance)).await?.is_some())
}

/// Adds a lineage to a change: over the version that was read, or as the first one of an instance that was not deleted.
pub(crate) fn put_lineage(
    change: Change,
    instance: &str,
    lineage: &Lineage,
    over: Option<Revision>,
    expires: Timestamp,
) -> Result<Change, Error> {
    let change = require_as_read(change, instance, over);
    let change = match over {
        Some(_) => change,
        // Deleted between two looks, it has no lineage either, and would come back to life.
        None => change.require(Condition::Absent(Key::new(TOMBSTONE, instance)), raced()),
    };
    Ok(change.put_record(Key::new(LINEAGE, instance), encode(lineage)?, Some(expires)))
}

/// The change happens only if the lineage is still the one that was read, or still missing.
fn require_as_read(change: Change, instance: &str, read: Option<Revision>) -> Change {
    let key = Key::new(LINEAGE, instance);
    let condition = match read {
        Some(revision) => Condition::Revision(key, revision),
        None => Condition::Absent(key),
    };
    change.require(condition, raced())
}

/// Adds the way from a spent token to its answer.
pub(crate) fn put_join_answer(
    change: Change,
    token_hash: &str,
    answer: &JoinAnswer,
    expires: Timestamp,
) -> Result<Change, Error> {
    Ok(change.put_record(Key::new(JOIN_ANSWER, token_hash), encode(answer)?, Some(expires)))
}

/// Removes the way from a spent token to its answer, once the answer has arrived.
pub(crate) fn drop_join_answer(change: Change, token_hash: &str) -> Change {
    change.delete_record(Key::new(JOIN_ANSWER, token_hash))
}

/// Adds a deletion that leaves a tombstone as long-lived as the record, which must still be the one that was read: a
/// renewal in between would outlive the tombstone.
pub(crate) fn bury(
    change: Change,
    instance: &str,
    read: Option<Revision>,
    at: Timestamp,
    until: Timestamp,
) -> Result<Change, Error> {
    let change = require_as_read(change, instance, read).delete_record(Key::new(LINEAGE, instance));
    Ok(change.put_record(Key::new(TOMBSTONE, instance), encode(&Tombstone { at })?, Some(until)))
}

/// Two requests of one instance at once: the loser looks again, and is then a repeat, the next renewal, or simply later.
fn raced() -> Error {
    Error::conflict("another request of this bot instance was answered at the same moment")
}

async fn read<T: DeserializeOwned>(store: &Store, key: &Key) -> Result<Option<(T, Revision)>, Error> {
    let Some(item) = store.record(key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&item.value)
        .map_err(|error| crate::failure::internal("a stored record cannot be read", error))?;
    Ok(Some((value, item.revision)))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| crate::failure::internal("a record cannot be written", error))
}
