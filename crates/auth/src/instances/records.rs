//! Where lineages, tombstones and the pending answers of joins are kept: beside the public documents, in the same commits.
//! They are read for a change only, so that two requests of one instance at once cannot both go by the same record.

use clock::Timestamp;
use domain::{Error, error::Reason};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::Key;
use store::Change;

use super::lineage::Lineage;

const LINEAGE: &str = "tessera_lineage";
const TOMBSTONE: &str = "tessera_tombstone";
const JOIN_ANSWER: &str = "tessera_join_answer";

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

/// What decides about an instance, read for a change.
pub(crate) async fn lineage(change: &mut Change, instance: &str) -> Result<Option<Lineage>, Error> {
    read(change, Key::new(LINEAGE, instance)).await
}

/// Where the answer of a spent token is, read for a change.
pub(crate) async fn join_answer(change: &mut Change, token_hash: &str) -> Result<Option<JoinAnswer>, Error> {
    read(change, Key::new(JOIN_ANSWER, token_hash)).await
}

/// Refuses an instance that was deleted; the change happens only if it has not been until then.
pub(crate) async fn refuse_deleted(change: &mut Change, instance: &str) -> Result<(), Error> {
    match change.read_record(Key::new(TOMBSTONE, instance)).await? {
        None => Ok(()),
        Some(_) => Err(Error::denied("this bot instance was deleted; it needs a new token: tctl bots instances add")
            .because(Reason::UnknownInstance)),
    }
}

/// Adds a lineage to a change.
pub(crate) fn put_lineage(
    change: Change,
    instance: &str,
    lineage: &Lineage,
    expires: Timestamp,
) -> Result<Change, Error> {
    Ok(change.put_record(Key::new(LINEAGE, instance), encode(lineage)?, Some(expires)))
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

/// Adds a deletion that leaves a tombstone as long-lived as the record.
pub(crate) fn bury(change: Change, instance: &str, at: Timestamp, until: Timestamp) -> Result<Change, Error> {
    let change = change.delete_record(Key::new(LINEAGE, instance));
    Ok(change.put_record(Key::new(TOMBSTONE, instance), encode(&Tombstone { at })?, Some(until)))
}

async fn read<T: DeserializeOwned>(change: &mut Change, key: Key) -> Result<Option<T>, Error> {
    let Some(item) = change.read_record(key).await? else { return Ok(None) };
    serde_json::from_slice(&item.value)
        .map(Some)
        .map_err(|error| crate::failure::internal("a stored record cannot be read", error))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| crate::failure::internal("a record cannot be written", error))
}
