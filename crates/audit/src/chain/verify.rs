//! Checks a journal against its chain and its checkpoints, and names everything that does not fit.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use crypto::PublicKey;
use serde::Serialize;
use storage::{Backend, JournalPosition, Prefix};
use uuid::Uuid;

use super::{BASES, BLOCKS, Block, Checkpoint, Hash, Head, beginning, link_hash, read_all, record_hash};

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

/// Is fed the records in journal order, then told the blocks, then asked.
#[derive(Debug, Default)]
pub struct Verifier {
    records: HashMap<Uuid, (u64, Hash)>,
    count: u64,
    report: Report,
}

impl Verifier {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next record of the journal.
    pub fn record(&mut self, entry: Uuid, json: &[u8]) {
        self.count += 1;
        if self.records.insert(entry, (self.count, record_hash(json))).is_some() {
            self.report.add(Finding::Reordered { entry });
        }
    }

    /// Checks everything. `bases` are the links before which retention has dropped all; `checkpoints` have been
    /// checked for their signatures by [`Checkpoint::check`].
    pub fn finish(mut self, blocks: Vec<Block>, bases: &[Head], checkpoints: &[Checkpoint]) -> Report {
        let mut writers: BTreeMap<Uuid, Vec<Block>> = BTreeMap::new();
        for block in blocks {
            writers.entry(block.writer).or_default().push(block);
        }
        let mut witnesses: Vec<Witness> = Vec::new();
        for checkpoint in checkpoints {
            witnesses.extend(checkpoint.heads.iter().map(|head| Witness { head: head.clone(), by: By::Checkpoint }));
        }
        let mut chains = HashMap::new();
        for (writer, mut blocks) in writers {
            blocks.sort_by_key(|block| block.first);
            for head in blocks.iter().flat_map(|block| &block.heads) {
                witnesses.push(Witness { head: head.clone(), by: By::Writer(writer) });
            }
            let base = bases.iter().find(|base| base.writer == writer);
            let chain = self.chain(writer, &blocks, base);
            chains.insert(writer, chain);
        }
        self.heads(&witnesses, &chains, bases);
        self.unproved(&chains, &witnesses);
        self.order(&chains, &witnesses);
        self.report
    }

    /// Checks one writer's links against each other and the records.
    fn chain(&mut self, writer: Uuid, blocks: &[Block], base: Option<&Head>) -> Chain {
        let mut chain = Chain::default();
        let (mut expected, mut previous) = match (base, blocks.first()) {
            (Some(base), _) => (base.seq + 1, base.hash),
            (None, Some(block)) => (1, beginning(writer, &block.heads)),
            (None, None) => return chain,
        };
        for block in blocks {
            if block.first != expected {
                self.report.add(Finding::Gap { writer, expected, found: block.first });
                previous = block.previous;
            } else if block.previous != previous {
                self.report.add(Finding::Truncated { writer, seq: expected, witness: format!("writer {writer}") });
                previous = block.previous;
            }
            for (seq, link) in (block.first..).zip(&block.links) {
                match self.records.remove(&link.entry) {
                    None => self.report.add(Finding::Missing { entry: link.entry, writer, seq }),
                    Some((ordinal, record)) => {
                        if link_hash(writer, seq, block.late, link.entry, &record, &previous) == link.hash {
                            self.report.linked += 1;
                        } else {
                            self.report.add(Finding::Edited { entry: link.entry, writer, seq });
                        }
                        chain.records.push((seq, ordinal, link.entry));
                    }
                }
                chain.links.insert(seq, link.hash);
                previous = link.hash;
                self.report.late += u64::from(block.late);
            }
            expected = block.first + block.links.len() as u64;
        }
        chain
    }

    /// Checks the ends that checkpoints and later writers vouch for.
    fn heads(&mut self, witnesses: &[Witness], chains: &HashMap<Uuid, Chain>, bases: &[Head]) {
        for Witness { head, by } in witnesses {
            let dropped = bases.iter().find(|base| base.writer == head.writer).filter(|base| base.seq >= head.seq);
            let fits = match (dropped, chains.get(&head.writer).and_then(|chain| chain.links.get(&head.seq))) {
                (Some(base), None) => base.seq > head.seq || base.hash == head.hash,
                (_, Some(hash)) => *hash == head.hash,
                (None, None) => false,
            };
            if !fits {
                self.report.add(Finding::Truncated { writer: head.writer, seq: head.seq, witness: by.to_string() });
            }
        }
    }

    /// Counts the links that no checkpoint proves: directly, or because a proved writer began with their head.
    fn unproved(&mut self, chains: &HashMap<Uuid, Chain>, witnesses: &[Witness]) {
        let mut proved: HashMap<Uuid, u64> = HashMap::new();
        loop {
            let before = proved.clone();
            for Witness { head, by } in witnesses {
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
                break;
            }
        }
        for (writer, chain) in chains {
            let proved = proved.get(writer).copied().unwrap_or(0);
            self.report.unproved += chain.links.keys().filter(|seq| **seq > proved).count() as u64;
        }
    }

    /// Checks that the chain has the records in the journal's order, and finds those without a link.
    fn order(&mut self, chains: &HashMap<Uuid, Chain>, witnesses: &[Witness]) {
        let mut last_linked = 0;
        for (writer, chain) in chains {
            // A writer's records come after those that it found linked.
            let found = witnesses.iter().filter(|witness| witness.by == By::Writer(*writer));
            let last_found =
                found.filter_map(|witness| chains.get(&witness.head.writer)?.last_before(witness.head.seq));
            let mut before = last_found.max().unwrap_or(0);
            for (_, ordinal, entry) in &chain.records {
                if *ordinal < before {
                    self.report.add(Finding::Reordered { entry: *entry });
                }
                before = before.max(*ordinal);
            }
            last_linked = last_linked.max(before);
        }
        let mut rest: Vec<_> = self.records.drain().map(|(entry, (ordinal, _))| (ordinal, entry)).collect();
        rest.sort_unstable();
        for (ordinal, entry) in rest {
            if ordinal < last_linked {
                self.report.add(Finding::Inserted { entry });
                continue;
            }
            self.report.unlinked_count += 1;
            if self.report.unlinked.len() < LISTED {
                self.report.unlinked.push(entry);
            }
        }
    }
}

/// What was found of one writer.
#[derive(Debug, Default)]
struct Chain {
    links: BTreeMap<u64, Hash>,
    /// Place in the chain, place in the journal, and id of each record that is there.
    records: Vec<(u64, u64, Uuid)>,
}

impl Chain {
    /// The place in the journal of the last record linked up to `seq`.
    fn last_before(&self, seq: u64) -> Option<u64> {
        self.records.iter().take_while(|(at, ..)| *at <= seq).map(|(_, ordinal, _)| *ordinal).max()
    }
}

/// Somebody who says where a chain ended.
#[derive(Debug)]
struct Witness {
    head: Head,
    by: By,
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

/// Verifies the log in a store: its own last checkpoint counts, and those given (kept elsewhere).
///
/// # Errors
/// The store cannot be read.
pub async fn verify_store(
    backend: &dyn Backend,
    key: &PublicKey,
    kept: Vec<Checkpoint>,
) -> Result<Report, storage::Error> {
    // Checkpoint, blocks, records, in this order: what is added meanwhile then counts as not yet proved or linked,
    // never as missing.
    let stored = super::last_checkpoint(backend).await?;
    let bases = unkeyed(read_all::<Head>(backend, &Prefix::kind(BASES)).await?);
    let blocks = unkeyed(read_all::<Block>(backend, &Prefix::kind(BLOCKS)).await?);
    let mut verifier = Verifier::new();
    // Retention deletes links before it deletes their records.
    let mut after = bases.iter().map(|base| JournalPosition(base.position)).max();
    loop {
        let page = backend.journal_read(after, storage::MAX_PAGE_ITEMS).await?;
        for record in &page.records {
            verifier.record(record.entry.id, &record.entry.value);
        }
        after = page.records.last().map(|record| record.position).or(after);
        if !page.more || page.records.is_empty() {
            break;
        }
    }
    let mut checkpoints = Vec::new();
    for checkpoint in stored.into_iter().chain(kept) {
        match checkpoint.check(key) {
            Ok(()) => checkpoints.push(checkpoint),
            Err(error) => verifier.report.add(Finding::Checkpoint { reason: error.to_string() }),
        }
    }
    Ok(verifier.finish(blocks, &bases, &checkpoints))
}

fn unkeyed<T>(items: Vec<(storage::Key, storage::Revision, T)>) -> Vec<T> {
    items.into_iter().map(|(_, _, item)| item).collect()
}
