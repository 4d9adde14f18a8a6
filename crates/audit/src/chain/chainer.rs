//! The task that lays the chain behind the commits, feeds the sinks, and signs checkpoints.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use crypto::Random;
use storage::{Backend, Batch, Condition, JournalPosition, JournalRecord, Key, Prefix, Revision};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    BLOCK_LINKS, Block, Checkpoint, HEADS, Head, Link, SignError, Signer, audit_head, beginning, encode, link_hash,
    read_all, record_hash,
};
use crate::{
    Status, entry,
    events::audit::Checkpointed,
    sinks::{Delivery, Sink},
};

/// How long a committed record may wait for its link, at most twice this.
const LINK_EVERY: Duration = Duration::from_millis(500);
/// How often a checkpoint is signed: what is newer can be cut off unnoticed by somebody who owns the machine.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// The pause after a failure; doubles up to [`CHECKPOINT_EVERY`].
const RETRY: Duration = Duration::from_secs(1);

/// What a chainer is made from.
pub struct Setup {
    /// The store with the journal.
    pub backend: Arc<dyn Backend>,
    /// The cluster's name.
    pub cluster: String,
    /// The time.
    pub clock: Clock,
    /// Where the writer's id comes from.
    pub random: Random,
    /// Who signs checkpoints.
    pub signer: Arc<dyn Signer>,
    /// Where records go besides the store.
    pub sinks: Vec<Box<dyn Sink>>,
    /// The file for the newest checkpoint.
    pub head_file: Option<PathBuf>,
    /// Shows how many records wait for their link, as far as one page reaches.
    pub backlog: Arc<AtomicU64>,
}

/// The chain could not be continued.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The store failed.
    #[error("the audit chain cannot be stored")]
    Storage(#[from] storage::Error),
    /// The checkpoint was not signed.
    #[error("the audit checkpoint cannot be signed")]
    Sign(#[source] SignError),
    /// The checkpoint file cannot be written.
    #[error("the audit checkpoint cannot be written to {}", path.display())]
    HeadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Lays the chain of one process.
pub struct Chainer {
    setup: Setup,
    deliveries: Vec<Delivery>,
    writer: Uuid,
    /// Our own head, once there is one, and its revision.
    own: Option<(Head, Revision)>,
    /// The heads of the writers before us, until our first block has bound them.
    found: Vec<(Key, Head)>,
    /// Only the store knows where the chain ends: a block was sent there, and nothing was heard of it.
    is_doubtful: bool,
}

impl Chainer {
    /// Finds the heads, and links what writers before us left unlinked.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn open(mut setup: Setup) -> Result<Self, ChainError> {
        let writer = setup.random.uuid();
        let deliveries = std::mem::take(&mut setup.sinks).into_iter().map(Delivery::new).collect();
        let mut chainer = Self { setup, deliveries, writer, own: None, found: Vec::new(), is_doubtful: false };
        chainer.load().await?;
        chainer.link(true).await?;
        Ok(chainer)
    }

    /// This process's id in the chain.
    pub fn writer(&self) -> Uuid {
        self.writer
    }

    /// Links, delivers and signs until `stop`; then once more, so that what was committed before the stop is covered.
    /// Failures are logged and tried again.
    ///
    /// # Errors
    /// The last round failed.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ChainError> {
        let clock = self.setup.clock.clone();
        // The first one at once: a time mark, and a proof that the signer works.
        let (mut last_checkpoint, mut pause) = (None, LINK_EVERY);
        while !stop.is_cancelled() {
            let due = last_checkpoint.is_none_or(|last| clock.monotonic().saturating_sub(last) >= CHECKPOINT_EVERY);
            match self.round(due).await {
                Ok(()) => {
                    pause = LINK_EVERY;
                    if due {
                        last_checkpoint = Some(clock.monotonic());
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "audit chain is behind");
                    pause = (pause * 2).clamp(RETRY, CHECKPOINT_EVERY);
                }
            }
            tokio::select! {
                () = clock.sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        self.round(true).await
    }

    async fn round(&mut self, checkpoint: bool) -> Result<(), ChainError> {
        self.link(false).await?;
        for delivery in &mut self.deliveries {
            delivery.catch_up(&*self.setup.backend).await;
        }
        if checkpoint {
            self.checkpoint().await?;
        }
        Ok(())
    }

    /// Links everything that is not linked yet; returns how much that was.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn link(&mut self, late: bool) -> Result<usize, ChainError> {
        if self.is_doubtful {
            self.load().await?;
        }
        let mut linked = 0;
        loop {
            let after = self.position().map(JournalPosition);
            let page = self.setup.backend.journal_read(after, BLOCK_LINKS).await?;
            let waiting = u64::try_from(page.records.len()).unwrap_or(u64::MAX);
            self.setup.backlog.store(waiting, Ordering::Relaxed);
            if page.records.is_empty() {
                return Ok(linked);
            }
            linked += page.records.len();
            self.append(&page.records, late).await?;
            if !page.more {
                self.setup.backlog.store(0, Ordering::Relaxed);
                return Ok(linked);
            }
        }
    }

    /// Signs a checkpoint over all heads and puts it everywhere: the store first, so that only a restored store can
    /// be older than the file.
    ///
    /// # Errors
    /// It cannot be signed or stored.
    pub async fn checkpoint(&mut self) -> Result<Checkpoint, ChainError> {
        let now = self.setup.clock.now();
        let signed = Checkpoint::sign(&self.setup.cluster, now, self.heads(), &*self.setup.signer).await;
        let checkpoint = signed.map_err(ChainError::Sign)?;
        self.setup.backend.batch(Batch::new().put(Checkpoint::key(), encode(&checkpoint), None)).await?;
        if let Some(path) = self.setup.head_file.clone() {
            let copy = checkpoint.clone();
            let at = path.clone();
            let written = tokio::task::spawn_blocking(move || audit_head::write(&at, &copy)).await;
            written
                .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
                .map_err(|source| ChainError::HeadFile { path, source })?;
        }
        if !self.deliveries.is_empty() {
            let value = serde_json::to_value(&checkpoint).unwrap_or_default();
            let event = Checkpointed { status: Status::succeeded(), checkpoint: value };
            let line = entry::encode(&event, self.setup.random.uuid_v7(now), now, &self.setup.cluster);
            for delivery in &mut self.deliveries {
                delivery.line(line.clone().into()).await;
            }
        }
        Ok(checkpoint)
    }

    /// The ends of the chains: our own covers those that it found.
    fn heads(&self) -> Vec<Head> {
        match &self.own {
            Some((head, _)) => vec![head.clone()],
            None => self.found.iter().map(|(_, head)| head.clone()).collect(),
        }
    }

    /// How far the journal is linked.
    fn position(&self) -> Option<u64> {
        self.heads().iter().map(|head| head.position).max()
    }

    async fn append(&mut self, records: &[JournalRecord], late: bool) -> Result<(), ChainError> {
        let heads: Vec<Head> = self.found.iter().map(|(_, head)| head.clone()).collect();
        let (first, mut previous) = match &self.own {
            Some((head, _)) => (head.seq + 1, head.hash),
            None => (1, beginning(self.writer, &heads)),
        };
        let Some(last) = records.last() else { return Ok(()) };
        let mut block = Block {
            writer: self.writer,
            first,
            previous,
            heads: if first == 1 { heads } else { Vec::new() },
            late,
            position: last.position.0,
            time: last.entry.time,
            links: Vec::with_capacity(records.len()),
        };
        for (seq, record) in (first..).zip(records) {
            let entry = &record.entry;
            previous = link_hash(self.writer, seq, late, entry.id, &record_hash(&entry.value), &previous);
            block.links.push(Link { entry: entry.id, hash: previous });
        }
        let (head, key) = (block.head(), self.head_key());
        let condition = match &self.own {
            Some((_, revision)) => Condition::Revision(key.clone(), *revision),
            None => Condition::Absent(key.clone()),
        };
        let mut batch = Batch::new().require(condition).put(block.key(), encode(&block), None);
        batch = batch.put(key, encode(&head), None);
        for (dead, _) in self.found.iter().take(storage::MAX_BATCH_OPERATIONS - batch.writes.len() - 1) {
            batch = batch.delete(dead.clone());
        }
        self.is_doubtful = true;
        let committed = self.setup.backend.batch(batch).await?;
        (self.own, self.found, self.is_doubtful) = (Some((head, committed.revision)), Vec::new(), false);
        Ok(())
    }

    fn head_key(&self) -> Key {
        Key::new(HEADS, self.writer.simple().to_string())
    }

    async fn load(&mut self) -> Result<(), storage::Error> {
        // All of them, or none: without a head the journal would be linked again from its beginning.
        let heads = read_all::<Head>(&*self.setup.backend, &Prefix::kind(HEADS)).await?;
        let own = self.head_key();
        (self.own, self.found, self.is_doubtful) = (None, Vec::new(), false);
        for (key, revision, head) in heads {
            if key == own {
                self.own = Some((head, revision));
            } else {
                self.found.push((key, head));
            }
        }
        Ok(())
    }
}
