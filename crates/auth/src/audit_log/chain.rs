//! The audit chain itself, for who does not take our word that it is whole.

use std::collections::{HashMap, HashSet};

use audit::chain::{BLOCKS, Block, Checkpoint, Hash, last_checkpoint};
use bytes::Bytes;
use domain::Error;
use rbac::Verb;
use storage::{JournalPosition, JournalRecord, Key, Prefix};
use uuid::Uuid;

use super::permit;
use crate::{
    Auth, Caller, Operation,
    failure::{internal, storage_error},
};

/// How many blocks of one writer are read at a time; each has some hundred links.
const BLOCKS_AT_ONCE: usize = 8;

/// One link of the chain with the record that it is about.
#[derive(Debug, Clone)]
pub struct ChainLink {
    /// The record's place in the journal.
    pub position: u64,
    /// The hash before; zero when the record is not linked yet.
    pub previous: Hash,
    /// The link's hash; zero when the record is not linked yet.
    pub hash: Hash,
    /// The record as it is stored.
    pub record: Bytes,
}

/// A walk along the journal with the links of its records. It holds one page, however long the journal is.
#[derive(Debug)]
pub struct ChainExport {
    /// Those of whom there are blocks that have not been passed.
    writers: Vec<Writer>,
    after: u64,
    is_done: bool,
    /// The last checkpoint, which comes at the end.
    pub checkpoint: Option<Checkpoint>,
}

/// Whoever has laid a part of the chain: its blocks lie in the order of the journal.
#[derive(Debug)]
struct Writer {
    id: String,
    /// The last block that has been passed.
    passed: Option<Key>,
}

/// The hash before a record's link, and the link's.
type Links = HashMap<Uuid, (Hash, Hash)>;

/// Begins to export the chain after a position of the journal; or the last checkpoint alone.
///
/// # Errors
/// Denied.
pub async fn export_chain(
    auth: &Auth,
    caller: &Caller,
    after: u64,
    checkpoints_only: bool,
) -> Result<ChainExport, Error> {
    permit(auth, caller, Operation::VerifyAudit, &[Verb::List, Verb::Read])?;
    let checkpoint = last_checkpoint(&**auth.store.backend()).await.map_err(storage_error)?;
    let writers = if checkpoints_only { Vec::new() } else { writers(auth).await? };
    Ok(ChainExport { writers, after, is_done: checkpoints_only, checkpoint })
}

/// Everybody of whom there is a block.
async fn writers(auth: &Auth) -> Result<Vec<Writer>, Error> {
    let (prefix, mut after, mut found) = (Prefix::kind(BLOCKS), None, Vec::new());
    loop {
        let page = auth.store.backend().range(&prefix, after.as_ref(), 1).await.map_err(storage_error)?;
        let Some(first) = page.items.first() else { return Ok(found) };
        let id = first.key.sub_kind().to_owned();
        // Names of blocks are numbers: all of them come before this.
        after = Some(Key::with_sub(BLOCKS, id.clone(), "~"));
        found.push(Writer { id, passed: None });
    }
}

impl ChainExport {
    /// The next links; empty at the end.
    ///
    /// # Errors
    /// Denied, when the caller has lost the right meanwhile: an export may run for hours. What storage says.
    pub async fn next(&mut self, auth: &Auth, caller: &Caller) -> Result<Vec<ChainLink>, Error> {
        permit(auth, caller, Operation::VerifyAudit, &[Verb::List, Verb::Read])?;
        if self.is_done {
            return Ok(Vec::new());
        }
        let page = auth.store.backend().journal_read(Some(JournalPosition(self.after)), storage::MAX_PAGE_ITEMS).await;
        let page = page.map_err(storage_error)?;
        self.is_done = !page.more;
        self.after = page.records.last().map_or(self.after, |record| record.position.0);
        let links = self.links(auth, &page.records).await?;
        let link = |record: JournalRecord| {
            let (previous, hash) = links.get(&record.entry.id).copied().unwrap_or_default();
            ChainLink { position: record.position.0, previous, hash, record: record.entry.value }
        };
        Ok(page.records.into_iter().map(link).collect())
    }

    /// The links of a page's records. Blocks that end within the page are passed, and writers without a block beyond it.
    async fn links(&mut self, auth: &Auth, records: &[JournalRecord]) -> Result<Links, Error> {
        let wanted: HashSet<Uuid> = records.iter().map(|record| record.entry.id).collect();
        let (mut links, end) = (Links::new(), self.after);
        let mut writers = Vec::with_capacity(self.writers.len());
        for mut writer in std::mem::take(&mut self.writers) {
            if writer.read(auth, end, &wanted, &mut links).await? {
                writers.push(writer);
            }
        }
        self.writers = writers;
        Ok(links)
    }
}

impl Writer {
    /// Reads the blocks up to a position and the one in which it lies; whether there may be more.
    async fn read(&mut self, auth: &Auth, end: u64, wanted: &HashSet<Uuid>, links: &mut Links) -> Result<bool, Error> {
        let prefix = Prefix::sub(BLOCKS, self.id.clone());
        loop {
            let page = auth.store.backend().range(&prefix, self.passed.as_ref(), BLOCKS_AT_ONCE).await;
            let page = page.map_err(storage_error)?;
            for item in page.items {
                let block: Block = serde_json::from_slice(&item.value)
                    .map_err(|error| internal("the audit chain cannot be read", error))?;
                let is_passed = block.position <= end;
                let mut previous = block.previous;
                for link in block.links {
                    if wanted.contains(&link.entry) {
                        links.insert(link.entry, (previous, link.hash));
                    }
                    previous = link.hash;
                }
                if !is_passed {
                    return Ok(true);
                }
                self.passed = Some(item.key);
            }
            if !page.more {
                // What is linked from now on was not linked when the walk came by.
                return Ok(false);
            }
        }
    }
}
