//! The chain over the journal: who changes, drops or reorders a record afterwards is found out.
//!
//! Each process start is a *writer* with a random id. It appends links: a link binds the record, its place (`seq`) and
//! the link before it. The first link binds the heads of the writers before. Links are stored in [`Block`]s, one for
//! each round of the [`Chainer`]; a signed [`Checkpoint`] over the heads makes it impossible to lay the chain anew.

mod blocks;
mod chainer;
mod checkpoint;
mod retention;
mod signer;
mod verify;

use bytes::Bytes;
use crypto::hash::{sha256, sha256_parts};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use storage::{Backend, Key, Prefix};
use uuid::Uuid;

pub use chainer::{ChainError, Chainer, Setup};
pub use checkpoint::{BadCheckpoint, Checkpoint, SignError, Signer, audit_head, last_checkpoint, older_store};
pub use retention::drop_before;
pub use signer::{KeyStoreSigner, SigningKeyError};
pub use verify::{Finding, Report, Verifier, verify_store};

/// Storage kind of the blocks, under the writer, by the first `seq`.
pub const BLOCKS: &str = "audit_chain";
/// Storage kind of the heads, by writer.
pub(crate) const HEADS: &str = "audit_head";
/// Storage kind of the links before which retention has dropped everything, by writer.
pub(crate) const BASES: &str = "audit_base";
/// The most links in one block: its JSON stays far below a batch's limit.
pub(crate) const BLOCK_LINKS: usize = 512;

/// A SHA-256 hash, in hexadecimal when written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(&text, &mut hash).map_err(serde::de::Error::custom)?;
        Ok(Self(hash))
    }
}

/// The end of a writer's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The writer.
    pub writer: Uuid,
    /// The last link's place, counted from 1.
    pub seq: u64,
    /// The last link's hash.
    pub hash: Hash,
    /// The last linked record's place in the journal.
    pub position: u64,
}

/// One link: a record, and the hash over it and everything before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The record's id.
    pub entry: Uuid,
    /// The hash.
    pub hash: Hash,
}

/// Neighbouring links of one writer, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The writer.
    pub writer: Uuid,
    /// The first link's place, counted from 1.
    pub first: u64,
    /// The hash before the first link; for `first` 1 the writer's beginning, see [`beginning`].
    pub previous: Hash,
    /// What the writer found when it began; only in its first block.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Head>,
    /// Whether the records are those of a writer before, who died without linking them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// The last record's place in the journal.
    pub position: u64,
    /// The last record's time.
    #[serde(with = "crate::time::millis")]
    pub time: clock::Timestamp,
    /// The links.
    pub links: Vec<Link>,
}

impl Block {
    /// The chain's end after this block.
    pub fn head(&self) -> Head {
        let (count, last) = (self.links.len() as u64, self.links.last());
        Head {
            writer: self.writer,
            seq: self.first + count.saturating_sub(1),
            hash: last.map_or(self.previous, |link| link.hash),
            position: self.position,
        }
    }

    /// Where the block is stored.
    pub fn key(&self) -> Key {
        Self::key_of(&self.writer.simple().to_string(), self.first)
    }

    /// Where the block of a writer would be stored that begins with this link.
    fn key_of(writer: &str, first: u64) -> Key {
        Key::with_sub(BLOCKS, writer, format!("{first:020}"))
    }
}

/// The hash before a writer's first link: binds it to what it found.
pub fn beginning(writer: Uuid, heads: &[Head]) -> Hash {
    let mut text = Vec::with_capacity(64 + heads.len() * 64);
    text.extend_from_slice(b"tessera-audit-writer-v1");
    text.extend_from_slice(writer.as_bytes());
    for head in heads {
        text.extend_from_slice(head.writer.as_bytes());
        text.extend_from_slice(&head.seq.to_be_bytes());
        text.extend_from_slice(&head.hash.0);
    }
    Hash(sha256(&text))
}

/// The hash of a link.
pub fn link_hash(writer: Uuid, seq: u64, late: bool, entry: Uuid, record: &Hash, previous: &Hash) -> Hash {
    Hash(sha256_parts(&[
        b"tessera-audit-link-v1",
        writer.as_bytes(),
        &seq.to_be_bytes(),
        &[u8::from(late)],
        entry.as_bytes(),
        &record.0,
        &previous.0,
    ]))
}

/// The hash of a record's bytes.
pub fn record_hash(json: &[u8]) -> Hash {
    Hash(sha256(json))
}

/// Reads all items of a small kind; those that cannot be read are an error, not nothing.
pub(crate) async fn read_all<T: serde::de::DeserializeOwned>(
    backend: &dyn Backend,
    prefix: &Prefix,
) -> Result<Vec<(Key, storage::Revision, T)>, storage::Error> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = backend.range(prefix, after.as_ref(), storage::MAX_PAGE_ITEMS).await?;
        for item in &page.items {
            found.push((item.key.clone(), item.revision, decode(&item.key, &item.value)?));
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.key.clone()),
            _ => return Ok(found),
        }
    }
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, storage::Error> {
    serde_json::from_slice(value).map_err(|error| storage::Error::Corrupt { what: format!("{key}: {error}") })
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    // Structs with string keys only: writing them cannot fail.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests;
