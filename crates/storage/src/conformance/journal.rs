//! The journal: in the same commit as the change, in commit order, until it is trimmed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Fixture, key};
use crate::{Batch, Condition, JournalEntry, JournalPosition, JournalRecord, MAX_PAGE_BYTES};

pub(super) async fn run(fixture: &impl Fn(u64) -> Fixture) {
    entries_follow_their_batch(&fixture(60)).await;
    readers_go_on_where_they_were(&Arc::new(fixture(61))).await;
    trimmed_entries_are_gone(&fixture(62)).await;
    a_piece_has_a_bounded_size(&fixture(63)).await;
}

impl Fixture {
    fn entry(&self, text: &str) -> JournalEntry {
        let time = self.now();
        JournalEntry { id: self.random.uuid_v7(time), time, value: Bytes::from(text.to_owned()) }
    }

    async fn read(&self, after: Option<JournalPosition>, limit: usize) -> Vec<JournalRecord> {
        self.backend.journal_read(after, limit).await.expect("the journal").records
    }
}

async fn entries_follow_their_batch(fixture: &Fixture) {
    let (one, two, three) = (fixture.entry("1"), fixture.entry("2"), fixture.entry("3"));
    let both = Batch::new().put(key("a"), "1", None).journal(one.clone()).journal(two.clone());
    fixture.batch(both).await.expect("stored");
    let refused = Batch::new().require(Condition::Absent(key("a"))).journal(fixture.entry("never"));
    fixture.batch(refused).await.expect_err("a is there");
    fixture.batch(Batch::new().journal(three.clone())).await.expect("an entry needs no write");
    let page = fixture.backend.journal_read(None, 10).await.expect("the journal");
    assert_eq!(page.records.iter().map(|record| record.entry.clone()).collect::<Vec<_>>(), [one, two, three]);
    assert!(!page.more);
    assert!(page.records.is_sorted_by(|a, b| a.position < b.position));
    let page = fixture.backend.journal_read(None, 2).await.expect("the journal");
    assert!(page.more && page.records.len() == 2);
}

/// A reader that only remembers its position sees every entry, while others write.
async fn readers_go_on_where_they_were(fixture: &Arc<Fixture>) {
    const WRITERS: usize = 8;
    const EACH: usize = 30;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let fixture = fixture.clone();
        writers.spawn(async move {
            let mut ids = Vec::new();
            for n in 0..EACH {
                let entry = fixture.entry(&format!("{n}"));
                ids.push(entry.id);
                fixture.batch(Batch::new().put(key("a"), "1", None).journal(entry)).await.expect("stored");
            }
            ids
        });
    }
    let (mut seen, mut after): (BTreeSet<Uuid>, _) = (BTreeSet::new(), None);
    while seen.len() < WRITERS * EACH {
        let records = fixture.read(after, 7).await;
        after = records.last().map(|record| record.position).or(after);
        seen.extend(records.iter().map(|record| record.entry.id));
        tokio::task::yield_now().await;
    }
    let written: BTreeSet<Uuid> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(seen, written);
}

async fn trimmed_entries_are_gone(fixture: &Fixture) {
    for chunk in 0..20 {
        let batch = (0..30).fold(Batch::new(), |batch, n| batch.journal(fixture.entry(&format!("{chunk}-{n}"))));
        fixture.batch(batch).await.expect("stored");
    }
    let all = fixture.read(None, 1_000).await;
    assert_eq!(all.len(), 600);
    let (cut, rest) = (all[399].position, &all[400..]);
    fixture.backend.journal_trim(cut).await.expect("trimmed");
    assert_eq!(fixture.read(None, 1_000).await, rest, "a new reader begins after the mark");
    assert_eq!(fixture.read(Some(all[10].position), 1_000).await, rest, "an old one does too");
    assert_eq!(fixture.read(Some(rest[5].position), 1_000).await, &rest[6..]);
    fixture.backend.journal_trim(all[10].position).await.expect("the mark never goes back");
    assert_eq!(fixture.read(None, 1_000).await, rest);
    assert_eq!(fixture.read(Some(JournalPosition(u64::MAX)), 10).await, []);
    // Trimming all, and more than all, does not make a position come twice.
    let last = all.last().expect("entries").position;
    fixture.backend.journal_trim(JournalPosition(u64::MAX)).await.expect("trimmed");
    fixture.batch(Batch::new().journal(fixture.entry("new"))).await.expect("stored");
    let records = fixture.read(None, 10).await;
    assert!(matches!(records.as_slice(), [record] if record.position > last), "{records:?}");
}

async fn a_piece_has_a_bounded_size(fixture: &Fixture) {
    const ENTRY: usize = 400 * 1024;
    const ENTRIES: usize = 2 * MAX_PAGE_BYTES / ENTRY;
    for _ in 0..ENTRIES {
        let entry = JournalEntry { value: vec![7; ENTRY].into(), ..fixture.entry("") };
        fixture.batch(Batch::new().journal(entry)).await.expect("stored");
    }
    let (mut seen, mut after) = (0, None);
    loop {
        let page = fixture.backend.journal_read(after, ENTRIES).await.expect("the journal");
        let bytes: usize = page.records.iter().map(|record| record.entry.value.len()).sum();
        assert!((1..=MAX_PAGE_BYTES + ENTRY).contains(&bytes), "{bytes} bytes in one piece");
        seen += page.records.len();
        after = page.records.last().map(|record| record.position);
        assert_eq!(page.more, seen < ENTRIES, "after {seen} of {ENTRIES}");
        if !page.more {
            break;
        }
    }
}
