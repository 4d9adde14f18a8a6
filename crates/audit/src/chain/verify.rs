//! Checks a journal against its chain and its checkpoints, and names everything that does not fit.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use crypto::PublicKey;
use serde::Serialize;
use storage::{Backend, JournalPosition, JournalRecord, Prefix};
use uuid::Uuid;

use super::{BASES, Block, Checkpoint, Hash, Head, beginning, blocks::Blocks, link_hash, read_all, record_hash};

/// The most findings and names that a report lists; the counts are complete.
const LISTED: usize = 100;

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// A record was changed, or its link was.
    Edited {
        /// The record.
        entry: Uuid,
        /// The writer of its link.
        writer: Uuid,
        /// The link's place.
        seq: u64,
    },
    /// A record is gone though it is linked.
    Missing {
        /// The record.
        entry: Uuid,
        /// The writer of its link.
        writer: Uuid,
        /// The link's place.
        seq: u64,
    },
    /// A record lies elsewhere in the journal than in the chain, or is there twice.
    Reordered {
        /// The record.
        entry: Uuid,
    },
    /// Links are gone.
    Gap {
        /// The writer.
        writer: Uuid,
        /// The place where the next link was expected.
        expected: u64,
        /// The place where it goes on.
        found: u64,
    },
    /// The chain ends before a place that somebody vouches for, or has another link there.
    Truncated {
        /// The writer.
        writer: Uuid,
        /// The place that should exist.
        seq: u64,
        /// Who says so: `checkpoint`, `writer <id>`.
        witness: String,
    },
    /// A record that lies before linked ones has no link: it was put in afterwards.
    Inserted {
        /// The record.
        entry: Uuid,
    },
    /// A checkpoint proves nothing.
    Checkpoint {
        /// Why.
        reason: String,
    },
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records that are linked and fit.
    pub linked: u64,
    /// How many things do not fit.
    pub problems: u64,
    /// What does not fit, at most the first hundred.
    pub findings: Vec<Finding>,
    /// Records not linked yet, at most the first hundred: nothing proves them.
    pub unlinked: Vec<Uuid>,
    /// How many records are not linked yet.
    pub unlinked_count: u64,
    /// Links newer than every checkpoint given: whoever owns the machine could have laid them anew.
    pub unproved: u64,
    /// Records that were linked only by the writer after theirs.
    pub late: u64,
}

impl Report {
    /// Whether everything that can be checked fits.
    pub fn is_intact(&self) -> bool {
        self.problems == 0
    }

    fn add(&mut self, finding: Finding) {
        self.problems += 1;
        if self.findings.len() < LISTED {
            self.findings.push(finding);
        }
    }
}

/// The most links and the most records that wait for each other. Of an untouched log never more than a block's wait; what
/// does not fit beyond this many is still counted, but no longer told apart: moved records look like missing and inserted ones.
const WAITING: usize = 1 << 16;

/// Is fed the blocks and the records, each in the journal's order and in step, then asked. What it keeps grows with the
/// writers and with what does not fit, up to a bound, never with the log.
#[derive(Debug, Default)]
pub struct Verifier {
    bases: HashMap<Uuid, Head>,
    /// Whom of each writer's chain somebody vouches for.
    witnesses: HashMap<Uuid, Vec<Witness>>,
    /// How far each writer's chain is proved.
    proved: HashMap<Uuid, u64>,
    chains: HashMap<Uuid, Chain>,
    /// Links whose record has not come.
    links: HashMap<Uuid, Waiting>,
    /// Records whose link has not come: their place in the journal, and their hash.
    records: HashMap<Uuid, (u64, Hash)>,
    /// How many links and records there were.
    count: (u64, u64),
    /// The last places in the chain and in the journal that were brought together.
    last: (u64, u64),
    links_are_over: bool,
    report: Report,
}

/// How far a writer's chain was followed.
#[derive(Debug)]
struct Chain {
    expected: u64,
    previous: Hash,
}

/// A link whose record has not come.
#[derive(Debug)]
struct Waiting {
    /// Its place among all links.
    ordinal: u64,
    writer: Uuid,
    seq: u64,
    late: bool,
    previous: Hash,
    hash: Hash,
}

impl Verifier {
    /// `bases` are the links before which retention has dropped all; `beginnings` what each writer found when it began;
    /// `checkpoints` have been checked for their signatures by [`Checkpoint::check`].
    pub fn new<'a>(
        bases: &[Head],
        beginnings: impl IntoIterator<Item = (Uuid, &'a [Head])>,
        checkpoints: &[Checkpoint],
    ) -> Self {
        let vouched = |head: &Head, by| Witness { head: head.clone(), by, is_met: false };
        let mut witnesses: Vec<Witness> = Vec::new();
        for checkpoint in checkpoints {
            witnesses.extend(checkpoint.heads.iter().map(|head| vouched(head, By::Checkpoint)));
        }
        for (writer, heads) in beginnings {
            witnesses.extend(heads.iter().map(|head| vouched(head, By::Writer(writer))));
        }
        let mut verifier = Self {
            bases: bases.iter().map(|base| (base.writer, base.clone())).collect(),
            proved: proved(&witnesses),
            ..Self::default()
        };
        for witness in witnesses {
            verifier.witnesses.entry(witness.head.writer).or_default().push(witness);
        }
        verifier
    }

    /// The next block: of each writer in the order of the links, of all in the order of their records.
    pub fn block(&mut self, block: &Block) {
        let writer = block.writer;
        let base = self.bases.get(&writer);
        let begin = || match base {
            Some(base) => Chain { expected: base.seq + 1, previous: base.hash },
            None => Chain { expected: 1, previous: beginning(writer, &block.heads) },
        };
        let Chain { expected, mut previous } = self.chains.remove(&writer).unwrap_or_else(begin);
        if block.first != expected {
            self.report.add(Finding::Gap { writer, expected, found: block.first });
            previous = block.previous;
        } else if block.previous != previous {
            self.report.add(Finding::Truncated { writer, seq: expected, witness: format!("writer {writer}") });
            previous = block.previous;
        }
        let proved = self.proved.get(&writer).copied().unwrap_or(0);
        for (seq, link) in (block.first..).zip(&block.links) {
            self.count.0 += 1;
            self.report.late += u64::from(block.late);
            self.report.unproved += u64::from(seq > proved);
            let (ordinal, late, hash) = (self.count.0, block.late, link.hash);
            self.link(link.entry, Waiting { ordinal, writer, seq, late, previous, hash });
            self.witness(writer, seq, hash);
            previous = hash;
        }
        let expected = block.first.saturating_add(block.links.len() as u64);
        self.chains.insert(writer, Chain { expected, previous });
    }

    fn link(&mut self, entry: Uuid, link: Waiting) {
        if let Some((ordinal, record)) = self.records.remove(&entry) {
            return self.pair(entry, &link, ordinal, &record);
        }
        if let Some(twice) = self.links.insert(entry, link) {
            self.report.add(Finding::Missing { entry, writer: twice.writer, seq: twice.seq });
        }
        if self.links.len() > WAITING {
            self.miss();
        }
    }

    /// Marks those who vouch for this link.
    fn witness(&mut self, writer: Uuid, seq: u64, hash: Hash) {
        for witness in self.witnesses.get_mut(&writer).into_iter().flatten() {
            witness.is_met |= witness.head.seq == seq && witness.head.hash == hash;
        }
    }

    /// There are no further blocks.
    pub fn end_of_blocks(&mut self) {
        self.links_are_over = true;
    }

    /// The next record of the journal.
    pub fn record(&mut self, entry: Uuid, json: &[u8]) {
        self.count.1 += 1;
        let (ordinal, record) = (self.count.1, record_hash(json));
        if let Some(link) = self.links.remove(&entry) {
            return self.pair(entry, &link, ordinal, &record);
        }
        if self.links_are_over && self.links.is_empty() {
            return self.unlinked(entry);
        }
        if self.records.insert(entry, (ordinal, record)).is_some() {
            self.report.add(Finding::Reordered { entry });
        }
        if self.records.len() > WAITING {
            self.rest(u64::MAX);
        }
    }

    /// A link and its record. Whatever else is missing or too much, pairs of an untouched log are found in its order.
    fn pair(&mut self, entry: Uuid, link: &Waiting, ordinal: u64, record: &Hash) {
        let &Waiting { writer, seq, .. } = link;
        if link_hash(writer, seq, link.late, entry, record, &link.previous) == link.hash {
            self.report.linked += 1;
        } else {
            self.report.add(Finding::Edited { entry, writer, seq });
        }
        if link.ordinal < self.last.0 || ordinal < self.last.1 {
            self.report.add(Finding::Reordered { entry });
        }
        self.last = (self.last.0.max(link.ordinal), self.last.1.max(ordinal));
    }

    fn unlinked(&mut self, entry: Uuid) {
        self.report.unlinked_count += 1;
        if self.report.unlinked.len() < LISTED {
            self.report.unlinked.push(entry);
        }
    }

    /// Gives up on the links that wait.
    fn miss(&mut self) {
        let mut missing: Vec<_> = self.links.drain().collect();
        missing.sort_unstable_by_key(|(_, link)| link.ordinal);
        for (entry, Waiting { writer, seq, .. }) in missing {
            self.report.add(Finding::Missing { entry, writer, seq });
        }
    }

    /// Gives up on the records that wait: those before the place `end` were put in, those after it are not linked yet.
    fn rest(&mut self, end: u64) {
        let mut rest: Vec<_> = self.records.drain().map(|(entry, (ordinal, _))| (ordinal, entry)).collect();
        rest.sort_unstable();
        for (ordinal, entry) in rest {
            if ordinal < end {
                self.report.add(Finding::Inserted { entry });
            } else {
                self.unlinked(entry);
            }
        }
    }

    /// The outcome, once everything was fed.
    pub fn finish(mut self) -> Report {
        self.miss();
        let (_, last) = self.last;
        let beyond = std::mem::take(&mut self.report.unlinked);
        self.rest(last);
        self.report.unlinked.extend(beyond);
        self.report.unlinked.truncate(LISTED);
        for Witness { head, by, is_met } in self.witnesses.values().flatten() {
            let base = self.bases.get(&head.writer);
            let is_dropped =
                base.is_some_and(|base| base.seq > head.seq || (base.seq == head.seq && base.hash == head.hash));
            if !is_met && !is_dropped {
                self.report.add(Finding::Truncated { writer: head.writer, seq: head.seq, witness: by.to_string() });
            }
        }
        self.report
    }

    /// How much is kept that grows with the log, for tests.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.links.len() + self.records.len()
    }
}

/// How far the chains are proved: by a checkpoint, or because a proved writer began with their head.
fn proved(witnesses: &[Witness]) -> HashMap<Uuid, u64> {
    let mut proved: HashMap<Uuid, u64> = HashMap::new();
    loop {
        let before = proved.clone();
        for Witness { head, by, .. } in witnesses {
            let counts = match by {
                By::Checkpoint => true,
                By::Writer(writer) => proved.contains_key(writer),
            };
            if counts {
                let seq = proved.entry(head.writer).or_default();
                *seq = head.seq.max(*seq);
            }
        }
        if proved == before {
            return proved;
        }
    }
}

/// Somebody who says where a chain ended.
#[derive(Debug)]
struct Witness {
    head: Head,
    by: By,
    /// Whether the chain has that link.
    is_met: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum By {
    Checkpoint,
    Writer(Uuid),
}

impl fmt::Display for By {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => out.write_str("checkpoint"),
            Self::Writer(writer) => write!(out, "writer {writer}"),
        }
    }
}

/// How often a verification begins anew because retention dropped something meanwhile. It seldom does, and then for a short
/// time; a log that it runs ahead in all the time is reported as it looks.
const ATTEMPTS: usize = 5;

/// Verifies the log in a store: its own last checkpoint counts, and those given (kept elsewhere).
///
/// # Errors
/// The store cannot be read.
pub async fn verify_store(
    backend: &dyn Backend,
    key: &PublicKey,
    kept: Vec<Checkpoint>,
) -> Result<Report, storage::Error> {
    let mut bases = read_bases(backend).await?;
    for _ in 1..ATTEMPTS {
        let report = walk(backend, key, &kept, &bases).await?;
        let now = read_bases(backend).await?;
        if now == bases {
            return Ok(report);
        }
        bases = now;
    }
    walk(backend, key, &kept, &bases).await
}

async fn read_bases(backend: &dyn Backend) -> Result<Vec<Head>, storage::Error> {
    Ok(read_all::<Head>(backend, &Prefix::kind(BASES)).await?.into_iter().map(|(_, _, base)| base).collect())
}

async fn walk(
    backend: &dyn Backend,
    key: &PublicKey,
    kept: &[Checkpoint],
    bases: &[Head],
) -> Result<Report, storage::Error> {
    // Checkpoint, blocks, records, in this order: what is added meanwhile then counts as not yet proved or linked,
    // never as missing.
    let stored = super::last_checkpoint(backend).await?;
    let (good, bad): (Vec<_>, Vec<_>) =
        stored.iter().chain(kept).map(|checkpoint| (checkpoint, checkpoint.check(key))).partition(|(_, is)| is.is_ok());
    let checkpoints: Vec<_> = good.into_iter().map(|(checkpoint, _)| checkpoint.clone()).collect();
    let (mut blocks, beginnings) = Blocks::open(backend).await?;
    let beginnings = beginnings.iter().map(|found| (found.writer, found.heads.as_slice()));
    let mut verifier = Verifier::new(bases, beginnings, &checkpoints);
    for error in bad.into_iter().filter_map(|(_, is)| is.err()) {
        verifier.report.add(Finding::Checkpoint { reason: error.to_string() });
    }
    // Retention deletes links before it deletes their records.
    let after = bases.iter().map(|base| JournalPosition(base.position)).max();
    let mut journal = Journal { backend, after, page: VecDeque::new() };
    while let Some((_, block)) = blocks.next().await? {
        verifier.block(&block);
        for _ in &block.links {
            journal.feed(&mut verifier).await?;
        }
    }
    verifier.end_of_blocks();
    while journal.feed(&mut verifier).await? {}
    Ok(verifier.finish())
}

/// The records, a page at a time.
struct Journal<'a> {
    backend: &'a dyn Backend,
    after: Option<JournalPosition>,
    page: VecDeque<JournalRecord>,
}

impl Journal<'_> {
    /// Tells the verifier the next record, if there is one by now.
    async fn feed(&mut self, verifier: &mut Verifier) -> Result<bool, storage::Error> {
        if self.page.is_empty() {
            let page = self.backend.journal_read(self.after, storage::MAX_PAGE_ITEMS).await?;
            self.after = page.records.last().map(|record| record.position).or(self.after);
            self.page = page.records.into();
        }
        let Some(record) = self.page.pop_front() else { return Ok(false) };
        verifier.record(record.entry.id, &record.entry.value);
        Ok(true)
    }
}
