#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use clock::{ManualClock, Timestamp};
use crypto::{Algorithm, KeyPair, PublicKey, Random};
use proptest::prelude::*;
use storage::{
    Batch, JournalEntry, JournalPosition,
    fault::{Fault, Faulty},
    memory::Memory,
};

use super::*;

struct Key(KeyPair);

#[async_trait]
impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        self.0.public().clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(message)?)
    }
}

/// A cluster's store, with processes that come and go.
struct World {
    clock: ManualClock,
    random: Random,
    backend: Arc<Memory>,
    signer: Arc<Key>,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let random = Random::seeded(3);
        let backend = Arc::new(Memory::new(clock.clock(), &random));
        let signer = Arc::new(Key(KeyPair::generate(Algorithm::Ed25519).unwrap()));
        Self { clock, random, backend, signer, directory: tempfile::tempdir().unwrap() }
    }

    fn head_file(&self) -> std::path::PathBuf {
        self.directory.path().join("audit-head")
    }

    async fn chainer(&self) -> Chainer {
        Chainer::open(self.setup()).await.unwrap()
    }

    fn setup(&self) -> Setup {
        Setup {
            backend: Arc::clone(&self.backend) as Arc<dyn Backend>,
            cluster: "example.com".into(),
            clock: self.clock.clock(),
            random: self.random.clone(),
            signer: Arc::clone(&self.signer) as Arc<dyn Signer>,
            sinks: vec![Box::new(crate::sinks::FileSink::new(self.directory.path().join("log"), self.clock.clock()))],
            head_file: Some(self.head_file()),
            backlog: Arc::default(),
        }
    }

    async fn commit(&self, count: usize) {
        for _ in 0..count {
            let time = self.clock.clock().now();
            let id = self.random.uuid_v7(time);
            let entry = JournalEntry { id, time, value: Bytes::from(format!("record {id}")) };
            self.backend.batch(Batch::new().journal(entry)).await.unwrap();
        }
    }

    async fn verify(&self, kept: Vec<Checkpoint>) -> Report {
        verify_store(&*self.backend, self.signer.0.public(), kept).await.unwrap()
    }

    async fn blocks(&self) -> Vec<Block> {
        let found = read_all::<Block>(&*self.backend, &Prefix::kind(BLOCKS)).await.unwrap();
        found.into_iter().map(|(_, _, block)| block).collect()
    }

    async fn records(&self) -> Vec<(Uuid, Bytes)> {
        let page = self.backend.journal_read(None, 1000).await.unwrap();
        page.records.into_iter().map(|record| (record.entry.id, record.entry.value)).collect()
    }
}

/// Drops what is older, with an entry that says how much that was.
async fn drop_old(backend: &dyn Backend, before: Timestamp) -> storage::Result<u64> {
    let note = |records| JournalEntry {
        id: Uuid::from_u128(0xD509 + u128::from(records)),
        time: Timestamp::UNIX_EPOCH,
        value: Bytes::from(format!("dropped {records}")),
    };
    drop_before(backend, before, note).await
}

#[tokio::test]
async fn what_is_committed_is_linked_by_this_writer_or_the_next() {
    let world = World::new();
    let mut first = world.chainer().await;
    world.commit(3).await;
    assert_eq!(first.link(false).await.unwrap(), 3);
    world.commit(2).await;
    let report = world.verify(vec![]).await;
    assert_eq!((report.linked, report.unlinked_count, report.problems, report.unproved), (3, 2, 0, 3));
    // The process dies here, its last two records unlinked; the next one finds them.
    drop(first);
    let mut second = world.chainer().await;
    world.commit(1).await;
    second.link(false).await.unwrap();
    second.checkpoint().await.unwrap();
    let report = world.verify(vec![]).await;
    assert_eq!(report, Report { linked: 6, late: 2, ..Report::default() });
}

#[tokio::test]
async fn many_records_span_many_blocks() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    world.commit(BLOCK_LINKS + 10).await;
    assert_eq!(chainer.link(false).await.unwrap(), BLOCK_LINKS + 10);
    assert_eq!(world.blocks().await.len(), 2);
    assert!(world.verify(vec![]).await.is_intact());
}

#[tokio::test]
async fn a_cut_off_end_is_found_by_a_checkpoint_kept_elsewhere() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    world.commit(2).await;
    chainer.link(false).await.unwrap();
    let kept = chainer.checkpoint().await.unwrap();
    assert_eq!(audit_head::read(&world.head_file()).unwrap(), Some(kept.clone()));

    // Somebody lays the whole chain anew over fewer records, with the stored checkpoint removed.
    let forged = World { signer: Arc::clone(&world.signer), ..World::new() };
    forged.commit(1).await;
    forged.chainer().await.link(false).await.unwrap();
    assert!(forged.verify(vec![]).await.is_intact());
    let report = forged.verify(vec![kept.clone()]).await;
    assert!(matches!(report.findings[..], [Finding::Truncated { .. }]), "{report:?}");

    // And a checkpoint that somebody wrote himself convinces nobody.
    let liar = Key(KeyPair::generate(Algorithm::Ed25519).unwrap());
    let lie = Checkpoint::sign("example.com", kept.time, kept.heads.clone(), &liar).await.unwrap();
    assert!(matches!(lie.check(world.signer.0.public()), Err(BadCheckpoint::ForeignKey)));
    let edited = Checkpoint { heads: vec![], ..kept };
    assert!(matches!(edited.check(world.signer.0.public()), Err(BadCheckpoint::Signature)));
}

#[tokio::test]
async fn the_file_beside_the_store_shows_an_older_store() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    world.commit(1).await;
    chainer.link(false).await.unwrap();
    let old = chainer.checkpoint().await.unwrap();
    world.commit(1).await;
    chainer.link(false).await.unwrap();
    let new = chainer.checkpoint().await.unwrap();
    let lost = async |file: &Checkpoint| older_store(&*world.backend, file).await.unwrap();
    assert_eq!(lost(&new).await, None);
    assert_eq!(lost(&old).await, None, "the file is written after the store");
    let wrong_clock = Checkpoint { time: Timestamp::MAX, ..old.clone() };
    assert_eq!(lost(&wrong_clock).await, None, "a clock makes up a restore");
    for (change, why) in [
        (Head { seq: 3, ..new.heads[0].clone() }, "links that are gone"),
        (Head { hash: Hash([7; 32]), ..new.heads[0].clone() }, "another chain of the same length"),
        (Head { hash: Hash([7; 32]), ..old.heads[0].clone() }, "another chain of more length"),
        (Head { writer: Uuid::nil(), ..old.heads[0].clone() }, "a writer that is gone"),
    ] {
        let file = Checkpoint { heads: vec![change.clone()], ..new.clone() };
        assert_eq!(lost(&file).await, Some(change), "{why}");
    }
    assert_eq!(last_checkpoint(&*world.backend).await.unwrap(), Some(new));
}

/// The next writer goes on from the chain of the one before, and does not name it any more.
#[tokio::test]
async fn a_death_between_store_and_file_is_no_restore() {
    let world = World::new();
    let mut first = world.chainer().await;
    // More blocks than a page has, and than one block has links.
    for _ in 0..BLOCK_LINKS + 20 {
        world.commit(1).await;
        first.link(false).await.unwrap();
    }
    let file = first.checkpoint().await.unwrap();
    world.commit(1).await;
    let mut second = world.chainer().await;
    let stored = second.checkpoint().await.unwrap();
    assert!(stored.heads.iter().all(|head| head.writer != file.heads[0].writer));
    assert_eq!(older_store(&*world.backend, &file).await.unwrap(), None);
    world.clock.advance(Duration::from_secs(60));
    assert!(drop_old(&*world.backend, world.clock.clock().now()).await.unwrap() > 0);
    assert_eq!(older_store(&*world.backend, &file).await.unwrap(), None, "retention is no restore");
}

#[tokio::test]
async fn the_task_links_within_a_second_and_signs_at_the_end() {
    let world = World::new();
    let chainer = world.chainer().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(chainer.run(stop.clone()));
    world.clock.parked(1).await;
    world.commit(2).await;
    world.clock.advance(Duration::from_secs(1));
    world.clock.parked(1).await;
    assert_eq!(world.verify(vec![]).await.unproved, 2);
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(world.verify(vec![]).await, Report { linked: 2, ..Report::default() });
    let lines = std::fs::read_to_string(world.directory.path().join("log/events.log")).unwrap();
    assert_eq!(lines.lines().filter(|line| line.starts_with("record ")).count(), 2);
    let last = Checkpoint::parse(lines.lines().last().unwrap().as_bytes()).unwrap();
    last.check(world.signer.0.public()).unwrap();
}

#[tokio::test]
async fn a_server_that_never_lives_a_minute_signs_all_the_same() {
    let world = World::new();
    for life in 0..5 {
        world.commit(1).await;
        let started = world.clock.clock().now();
        let task = tokio::spawn(world.chainer().await.run(tokio_util::sync::CancellationToken::new()));
        world.clock.parked(1).await;
        // Killed: it does not sign at its end.
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let signed = last_checkpoint(&*world.backend).await.unwrap().unwrap();
        assert_eq!(signed.time, started, "life {life}");
        assert_eq!(world.verify(vec![]).await.unproved, 0, "life {life}");
        world.clock.advance(Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_commit_whose_outcome_is_unknown_breaks_no_chain() {
    for fault in [Fault::Unavailable, Fault::UnknownLost, Fault::UnknownApplied] {
        let world = World::new();
        let armed = Arc::new(AtomicBool::new(false));
        let (inner, hook) = (Arc::clone(&world.backend) as Arc<dyn Backend>, Arc::clone(&armed));
        let faulty = Faulty::new(inner, move |_| if hook.swap(false, Ordering::SeqCst) { fault } else { Fault::None });
        let chainer = Chainer::open(Setup { backend: Arc::new(faulty), ..world.setup() }).await.unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn(chainer.run(stop.clone()));
        world.clock.parked(1).await;
        world.commit(2).await;
        armed.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            world.clock.advance(Duration::from_secs(1));
            world.clock.parked(1).await;
            world.commit(1).await;
        }
        assert!(!armed.load(Ordering::SeqCst), "the fault was met");
        stop.cancel();
        task.await.unwrap().unwrap();
        assert_eq!(world.verify(vec![]).await, Report { linked: 12, ..Report::default() });
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_for_a_while_gets_no_link_twice() {
    for fault in [Fault::None, Fault::UnknownLost, Fault::UnknownApplied] {
        let world = World::new();
        // What a writer before us linked, and we go on from without a block of our own.
        world.commit(3).await;
        world.chainer().await;
        let is_down = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&world.backend) as Arc<dyn Backend>;
        let (hook, down) = (Arc::clone(&is_down), Arc::clone(&is_down));
        let is_block = |batch: &Batch| batch.writes.iter().any(|write| write.key().kind() == BLOCKS);
        // The first block meets the fault, and takes the reads along.
        let met = AtomicBool::new(fault == Fault::None);
        let faulty = Faulty::new(inner, move |batch| {
            if !is_block(batch) || met.swap(true, Ordering::SeqCst) {
                return Fault::None;
            }
            hook.store(true, Ordering::SeqCst);
            fault
        });
        let faulty = faulty.refusing_reads(move || down.load(Ordering::SeqCst));
        let chainer = Chainer::open(Setup { backend: Arc::new(faulty), ..world.setup() }).await.unwrap();
        let stop = tokio_util::sync::CancellationToken::new();
        let task = tokio::spawn(chainer.run(stop.clone()));
        world.clock.parked(1).await;
        world.commit(2).await;
        is_down.store(fault == Fault::None, Ordering::SeqCst);
        for _ in 0..10 {
            world.clock.advance(Duration::from_secs(1));
            world.clock.parked(1).await;
        }
        assert!(is_down.swap(false, Ordering::SeqCst), "{fault:?} was not met");
        stop.cancel();
        task.await.unwrap().unwrap();
        assert_eq!(world.verify(vec![]).await, Report { linked: 5, late: 3, ..Report::default() }, "{fault:?}");
    }
}

#[tokio::test]
async fn retention_drops_whole_blocks_that_a_checkpoint_covers() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    for _ in 0..3 {
        world.commit(2).await;
        chainer.link(false).await.unwrap();
        world.clock.advance(Duration::from_secs(3600));
    }
    let everything = Timestamp::MAX;
    assert_eq!(drop_old(&*world.backend, everything).await.unwrap(), 0, "nothing is covered yet");
    let kept = chainer.checkpoint().await.unwrap();
    let cut = "2026-01-01T01:30:00Z".parse().unwrap();
    assert_eq!(drop_old(&*world.backend, cut).await.unwrap(), 4);
    assert_eq!(world.records().await.len(), 2 + 1, "what is left, and that the others are gone");
    chainer.link(false).await.unwrap();
    let report = world.verify(vec![kept.clone()]).await;
    assert_eq!(report, Report { linked: 3, unproved: 1, ..Report::default() });
    assert_eq!(drop_old(&*world.backend, everything).await.unwrap(), 2);
    assert!(world.verify(vec![kept]).await.is_intact());
}

#[tokio::test]
async fn what_retention_drops_is_on_record_also_when_it_is_killed() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    for _ in 0..3 {
        world.commit(2).await;
        chainer.link(false).await.unwrap();
    }
    let kept = chainer.checkpoint().await.unwrap();
    for batches in 0..3 {
        let left = std::sync::atomic::AtomicUsize::new(batches);
        let dies =
            move |_: &Batch| match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
                Ok(_) => Fault::None,
                Err(_) => Fault::Unavailable,
            };
        let dying = Faulty::new(Arc::clone(&world.backend) as Arc<dyn Backend>, dies);
        let blocks = world.blocks().await.len();
        let done = drop_old(&dying, Timestamp::MAX).await;
        let notes = world.records().await.iter().filter(|(_, value)| value.starts_with(b"dropped")).count();
        match batches {
            0 => assert!(done.is_err() && notes == 0, "it says what is not so"),
            1 => assert!(done.is_err() && notes == 1 && world.blocks().await.len() == blocks - 1),
            // The two that were left.
            _ => assert!(done == Ok(4) && notes == 2 && world.blocks().await.is_empty()),
        }
        assert!(world.verify(vec![kept.clone()]).await.is_intact());
    }
}

/// One thing that somebody does to the records or the links.
#[derive(Clone, Debug)]
enum Attack {
    EditRecord(usize),
    RemoveRecord(usize),
    SwapRecords(usize, usize),
    InsertRecord(usize),
    RemoveBlock(usize),
    EditLink(usize, usize),
    RemoveLink(usize, usize),
    SwapLinks(usize, usize, usize),
}

fn attack() -> impl Strategy<Value = Attack> {
    let at = || 0usize..1000;
    prop_oneof![
        at().prop_map(Attack::EditRecord),
        at().prop_map(Attack::RemoveRecord),
        (at(), at()).prop_map(|(a, b)| Attack::SwapRecords(a, b)),
        at().prop_map(Attack::InsertRecord),
        at().prop_map(Attack::RemoveBlock),
        (at(), at()).prop_map(|(a, b)| Attack::EditLink(a, b)),
        (at(), at()).prop_map(|(a, b)| Attack::RemoveLink(a, b)),
        (at(), at(), at()).prop_map(|(a, b, c)| Attack::SwapLinks(a, b, c)),
    ]
}

impl Attack {
    /// Does it; whether anything has changed.
    fn strike(&self, records: &mut Vec<(Uuid, Bytes)>, blocks: &mut Vec<Block>) -> bool {
        let (records_before, blocks_before) = (records.clone(), blocks.clone());
        let (record, block) = (records.len(), blocks.len());
        match *self {
            Self::EditRecord(at) => records[at % record].1 = Bytes::from_static(b"forged"),
            Self::RemoveRecord(at) => drop(records.remove(at % record)),
            Self::SwapRecords(a, b) => records.swap(a % record, b % record),
            Self::InsertRecord(at) => records.insert(at % record, (Uuid::nil(), Bytes::from_static(b"forged"))),
            Self::RemoveBlock(at) => drop(blocks.remove(at % block)),
            Self::EditLink(at, link) => {
                let links = &mut blocks[at % block].links;
                let link = link % links.len();
                links[link].hash.0[0] ^= 1;
            }
            Self::RemoveLink(at, link) => {
                let links = &mut blocks[at % block].links;
                let link = link % links.len();
                links.remove(link);
            }
            Self::SwapLinks(at, a, b) => {
                let links = &mut blocks[at % block].links;
                let (a, b) = (a % links.len(), b % links.len());
                links.swap(a, b);
            }
        }
        *records != records_before || *blocks != blocks_before
    }
}

/// The records, blocks and checkpoint of a log by two writers.
fn log() -> (Vec<(Uuid, Bytes)>, Vec<Block>, Checkpoint) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        for _ in 0..2 {
            let mut chainer = world.chainer().await;
            for count in [3, 1, 2] {
                world.commit(count).await;
                chainer.link(false).await.unwrap();
            }
            // Left for the next writer.
            world.commit(1).await;
        }
        let mut last = world.chainer().await;
        let checkpoint = last.checkpoint().await.unwrap();
        (world.records().await, world.blocks().await, checkpoint)
    })
}

fn report(records: &[(Uuid, Bytes)], mut blocks: Vec<Block>, checkpoint: &Checkpoint) -> Report {
    blocks.sort_by_key(|block| block.position);
    let beginnings = blocks.iter().map(|block| (block.writer, block.heads.as_slice()));
    let mut verifier = Verifier::new(&[], beginnings, std::slice::from_ref(checkpoint));
    let mut records = records.iter();
    for block in &blocks {
        verifier.block(block);
        for (entry, json) in records.by_ref().take(block.links.len()) {
            verifier.record(*entry, json);
        }
    }
    verifier.end_of_blocks();
    records.for_each(|(entry, json)| verifier.record(*entry, json));
    verifier.finish()
}

#[test]
fn any_single_change_is_found() {
    let (records, blocks, checkpoint) = log();
    let untouched = report(&records, blocks.clone(), &checkpoint);
    assert!(untouched.is_intact() && untouched.unlinked_count == 0 && untouched.unproved == 0, "{untouched:?}");
    assert_eq!((untouched.linked, untouched.late), (14, 2));
    // Few places to strike at: enough cases to hit each of them.
    proptest!(ProptestConfig::with_cases(2000), |(attack in attack())| {
        let (mut struck_records, mut struck_blocks) = (records.clone(), blocks.clone());
        if attack.strike(&mut struck_records, &mut struck_blocks) {
            let found = report(&struck_records, struck_blocks, &checkpoint);
            prop_assert!(!found.is_intact(), "{:?} was not found", attack);
        }
    });
}

#[tokio::test]
async fn trimming_an_unlinked_journal_is_not_ours_to_do() {
    // Guards the reading order of retention: records whose links are gone are skipped, all others are looked at.
    let world = World::new();
    let mut chainer = world.chainer().await;
    world.commit(2).await;
    chainer.link(false).await.unwrap();
    chainer.checkpoint().await.unwrap();
    world.backend.journal_trim(JournalPosition(1)).await.unwrap();
    assert!(!world.verify(vec![]).await.is_intact());
}

/// A block of a long log, made when it is needed, and its records.
fn full_block(number: u64, previous: Hash) -> (Block, Vec<(Uuid, Bytes)>) {
    let (writer, first) = (Uuid::from_u128(1), number * BLOCK_LINKS as u64 + 1);
    let mut block = Block {
        writer,
        first,
        previous,
        heads: vec![],
        late: false,
        position: first + BLOCK_LINKS as u64 - 1,
        time: Timestamp::UNIX_EPOCH,
        links: vec![],
    };
    let (mut records, mut hash) = (Vec::new(), previous);
    for seq in first..=block.position {
        let (entry, json) = (Uuid::from_u128(u128::from(seq) << 8), Bytes::from(seq.to_string()));
        hash = link_hash(writer, seq, false, entry, &record_hash(&json), &hash);
        block.links.push(Link { entry, hash });
        records.push((entry, json));
    }
    (block, records)
}

#[test]
fn what_is_kept_does_not_grow_with_the_log() {
    const BLOCKS: usize = 160;
    // What is done to the records, and how many may wait at a time.
    type Strike = fn(u64, &mut Vec<(Uuid, Bytes)>);
    let untouched: Strike = |_, _| ();
    let one_moved: Strike = |_, records| records.swap(0, 1);
    let first_gone: Strike = |number, records| drop((number == 0).then(|| records.remove(0)));
    let all_gone: Strike = |_, records| records.clear();
    let one_put_in: Strike =
        |number, records| records.insert(0, (Uuid::from_u128(u128::from(number) << 64), Bytes::new()));
    let doubled: Strike = |_, records| {
        let forged: Vec<_> =
            records.iter().map(|(id, json)| (Uuid::from_u128(id.as_u128() + 1), json.clone())).collect();
        records.splice(0..0, forged);
    };
    let (everything, blocks) = ((BLOCKS * BLOCK_LINKS) as u64, BLOCKS as u64);
    for (what, strike, bound, linked, problems) in [
        ("untouched", untouched, BLOCK_LINKS, everything, 0),
        ("moved", one_moved, BLOCK_LINKS, everything, blocks),
        ("first gone", first_gone, BLOCK_LINKS + 2, everything - 1, 1),
        ("all gone", all_gone, 1 << 16, 0, everything),
        ("put in", one_put_in, BLOCK_LINKS + 2 * BLOCKS, everything, blocks),
        ("doubled", doubled, 1 << 17, 0, 1),
    ] {
        let mut verifier = Verifier::new(&[], [], &[]);
        let mut previous = beginning(Uuid::from_u128(1), &[]);
        let (mut most, mut waiting) = (0, std::collections::VecDeque::new());
        for number in 0..blocks {
            let (block, mut records) = full_block(number, previous);
            previous = block.head().hash;
            verifier.block(&block);
            strike(number, &mut records);
            waiting.extend(records);
            most = most.max(verifier.waiting());
            for (entry, json) in waiting.drain(..BLOCK_LINKS.min(waiting.len())) {
                verifier.record(entry, &json);
                most = most.max(verifier.waiting());
            }
        }
        verifier.end_of_blocks();
        for (entry, json) in waiting {
            verifier.record(entry, &json);
            most = most.max(verifier.waiting());
        }
        let report = verifier.finish();
        assert!(most <= bound, "{what}: {most} kept");
        if what == "doubled" {
            assert!(!report.is_intact());
        } else {
            assert_eq!((report.linked, report.problems), (linked, problems), "{what}");
        }
    }
}

#[tokio::test]
async fn the_blocks_of_many_writers_are_walked_through_in_the_order_of_the_journal() {
    let world = World::new();
    let mut expected = Vec::new();
    for _ in 0..4 {
        let mut chainer = world.chainer().await;
        // More than are read at once.
        for _ in 0..20 {
            world.commit(1).await;
            chainer.link(false).await.unwrap();
        }
        expected.extend([chainer.writer(); 20]);
        chainer.checkpoint().await.unwrap();
    }
    let (mut blocks, beginnings) = blocks::Blocks::open(&*world.backend).await.unwrap();
    assert_eq!(beginnings.len(), 4);
    let mut walked = Vec::new();
    while let Some((_, block)) = blocks.next().await.unwrap() {
        walked.push((block.position, block.writer));
    }
    assert!(walked.is_sorted(), "{walked:?}");
    assert_eq!(walked.into_iter().map(|(_, writer)| writer).collect::<Vec<_>>(), expected);
    assert_eq!(world.verify(vec![]).await, Report { linked: 80, ..Report::default() });
    assert_eq!(drop_old(&*world.backend, Timestamp::MAX).await.unwrap(), 80);
    assert!(world.verify(vec![]).await.is_intact());
}

/// A store from which retention drops everything when the journal is first read.
struct Dropping(Arc<Memory>, AtomicBool);

#[async_trait]
impl Backend for Dropping {
    async fn get(&self, key: &storage::Key) -> storage::Result<Option<storage::Item>> {
        self.0.get(key).await
    }

    async fn range(
        &self,
        prefix: &Prefix,
        after: Option<&storage::Key>,
        limit: usize,
    ) -> storage::Result<storage::Page> {
        self.0.range(prefix, after, limit).await
    }

    async fn batch(&self, batch: Batch) -> storage::Result<storage::Committed> {
        self.0.batch(batch).await
    }

    async fn delete_range(&self, prefix: &Prefix) -> storage::Result<u64> {
        self.0.delete_range(prefix).await
    }

    async fn watch(&self, prefix: &Prefix, cursor: Option<storage::Cursor>) -> storage::Result<storage::Watcher> {
        self.0.watch(prefix, cursor).await
    }

    async fn expired(&self, limit: usize) -> storage::Result<Vec<storage::Item>> {
        self.0.expired(limit).await
    }

    async fn journal_read(
        &self,
        after: Option<JournalPosition>,
        limit: usize,
    ) -> storage::Result<storage::JournalPage> {
        if !self.1.swap(true, Ordering::Relaxed) {
            drop_old(&*self.0, Timestamp::MAX).await?;
        }
        self.0.journal_read(after, limit).await
    }

    async fn journal_trim(&self, to: JournalPosition) -> storage::Result<()> {
        self.0.journal_trim(to).await
    }
}

#[tokio::test]
async fn retention_during_a_verification_looks_like_missing_records() {
    let world = World::new();
    let mut chainer = world.chainer().await;
    for _ in 0..3 {
        world.commit(2).await;
        chainer.link(false).await.unwrap();
    }
    chainer.checkpoint().await.unwrap();
    let store = Dropping(Arc::clone(&world.backend), AtomicBool::new(false));
    let report = verify_store(&store, world.signer.0.public(), vec![]).await.unwrap();
    assert!(report.is_intact() && report.linked == 0, "{report:?}");
}
