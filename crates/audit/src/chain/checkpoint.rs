//! Checkpoints: a signature over the heads of all chains at a moment.

use std::{error::Error as StdError, fs, io, path::Path};

use async_trait::async_trait;
use clock::Timestamp;
use crypto::PublicKey;
use serde::{Deserialize, Serialize};
use storage::{Backend, Key, Prefix};

use super::{BASES, BLOCK_LINKS, BLOCKS, Block, Head, decode};

/// Storage kind of the checkpoint.
const KIND: &str = "audit_checkpoint";
/// Blocks that are read at once.
const PAGE: usize = 16;
/// What is signed begins with this, so that the signature is good for nothing else.
const DOMAIN: &[u8] = b"tessera-audit-checkpoint-v1\n";

/// Why something was not signed.
pub type SignError = Box<dyn StdError + Send + Sync>;

/// Signs checkpoints; made from a key in the keystore.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The key that checks the signatures.
    fn public_key(&self) -> PublicKey;

    /// Signs a message, as `PublicKey::verify` checks it.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A signed statement: at this time the chains ended here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The cluster.
    pub cluster: String,
    /// When it was made.
    #[serde(with = "crate::time::millis")]
    pub time: Timestamp,
    /// The ends of the chains.
    pub heads: Vec<Head>,
    /// The signing key in PEM.
    pub public_key: String,
    /// The signature in hexadecimal, over everything above.
    pub signature: String,
}

/// A checkpoint that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadCheckpoint {
    /// The text is no checkpoint.
    #[error("not an audit checkpoint")]
    Malformed(#[source] serde_json::Error),
    /// It was signed with another key than the cluster's.
    #[error("the audit checkpoint was signed with a key that is not this cluster's")]
    ForeignKey,
    /// The signature does not fit.
    #[error("the audit checkpoint's signature is wrong")]
    Signature,
}

impl Checkpoint {
    /// Makes and signs one.
    ///
    /// # Errors
    /// The signer refused.
    pub async fn sign(
        cluster: &str,
        time: Timestamp,
        heads: Vec<Head>,
        signer: &dyn Signer,
    ) -> Result<Self, SignError> {
        let public_key = signer.public_key().to_pem();
        // As it will be read back: milliseconds.
        let time = Timestamp::from_millisecond(time.as_millisecond())?;
        let mut checkpoint = Self { cluster: cluster.to_owned(), time, heads, public_key, signature: String::new() };
        checkpoint.signature = hex::encode(signer.sign(&checkpoint.signed_bytes()).await?);
        Ok(checkpoint)
    }

    /// Reads one: the file `audit-head`, or a line of a sink.
    ///
    /// # Errors
    /// [`BadCheckpoint::Malformed`]
    pub fn parse(text: &[u8]) -> Result<Self, BadCheckpoint> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Line { checkpoint: Checkpoint },
            Bare(Checkpoint),
        }
        match serde_json::from_slice(text).map_err(BadCheckpoint::Malformed)? {
            Form::Line { checkpoint } | Form::Bare(checkpoint) => Ok(checkpoint),
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadCheckpoint::ForeignKey`], [`BadCheckpoint::Signature`]
    pub fn check(&self, key: &PublicKey) -> Result<(), BadCheckpoint> {
        if self.public_key != key.to_pem() {
            return Err(BadCheckpoint::ForeignKey);
        }
        let signature = hex::decode(&self.signature).map_err(|_| BadCheckpoint::Signature)?;
        key.verify(&self.signed_bytes(), &signature).map_err(|_| BadCheckpoint::Signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        [DOMAIN, &super::encode(&unsigned)].concat()
    }

    /// Where the newest one is stored.
    pub(super) fn key() -> Key {
        Key::new(KIND, "latest")
    }
}

/// The newest checkpoint in the store. Its time is also the store's time mark.
///
/// # Errors
/// The store cannot be read.
pub async fn last_checkpoint(backend: &dyn Backend) -> Result<Option<Checkpoint>, storage::Error> {
    let key = Checkpoint::key();
    match backend.get(&key).await? {
        Some(item) => decode(&key, &item.value).map(Some),
        None => Ok(None),
    }
}

/// Whether the store is older than it once was: the first head in the file beside it that the store's chains do not have.
/// Times say nothing here: a clock may have been wrong when either was made. Nor does the store's own checkpoint: it is
/// written before the file, and may be by a writer that has gone on from the one that the file names.
///
/// # Errors
/// The store cannot be read.
pub async fn older_store(backend: &dyn Backend, file: &Checkpoint) -> Result<Option<Head>, storage::Error> {
    let stored = last_checkpoint(backend).await?;
    for head in &file.heads {
        let is_newest = stored.as_ref().is_some_and(|stored| stored.heads.contains(head));
        if !is_newest && !has(backend, head).await? {
            return Ok(Some(head.clone()));
        }
    }
    Ok(None)
}

/// Whether this link is in the store, or was until retention dropped it.
async fn has(backend: &dyn Backend, head: &Head) -> Result<bool, storage::Error> {
    let writer = head.writer.simple().to_string();
    let base = Key::new(BASES, writer.clone());
    if let Some(item) = backend.get(&base).await? {
        let base: Head = decode(&base, &item.value)?;
        if base.seq >= head.seq {
            return Ok(base.seq > head.seq || base.hash == head.hash);
        }
    }
    let before = head.seq.checked_sub(BLOCK_LINKS as u64);
    let mut after = before.map(|first| Block::key_of(&writer, first));
    let prefix = Prefix::sub(BLOCKS, writer);
    loop {
        let page = backend.range(&prefix, after.as_ref(), PAGE).await?;
        for item in &page.items {
            let block: Block = decode(&item.key, &item.value)?;
            if let Some(at) = head.seq.checked_sub(block.first)
                && let Some(link) = usize::try_from(at).ok().and_then(|at| block.links.get(at))
            {
                return Ok(link.hash == head.hash);
            }
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.key.clone()),
            _ => return Ok(false),
        }
    }
}

/// The file `audit-head` in the data directory: the newest checkpoint, outside the store and its backups.
pub mod audit_head {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};

    use super::*;

    /// Reads it; `None` when there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or is no checkpoint.
    pub fn read(path: &Path) -> io::Result<Option<Checkpoint>> {
        match fs::read(path) {
            Ok(text) => {
                Checkpoint::parse(&text).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it, durably, whole or not at all, with mode 0600.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&super::super::encode(checkpoint))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}
