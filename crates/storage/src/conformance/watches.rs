//! Watches: every change at least once, in one order, whole batches, with marks of progress; and what is lost is said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use tokio::task::JoinSet;

use super::{Fixture, key};
use crate::{Batch, Change, Condition, Cursor, Key, PROGRESS_WITHIN, Prefix, WatchEvent, Watcher};

pub(super) async fn run(fixture: &impl Fn(u64) -> Fixture) {
    changes_are_told_in_order(&fixture(40)).await;
    a_watch_resumes(&fixture(41)).await;
    progress_comes_in_time(&fixture(42)).await;
    progress_is_not_ahead_of_what_is_told(&fixture(48)).await;
    deletions_are_told(&fixture(43)).await;
    all_watchers_agree(&Arc::new(fixture(44))).await;
    who_falls_behind_is_told(&fixture(45)).await;
    foreign_cursors_are_told(&fixture(46), &fixture(47)).await;
}

/// The next event that is no progress mark.
async fn next(watcher: &mut Watcher) -> WatchEvent {
    loop {
        match watcher.next().await {
            WatchEvent::Progress(_) => {}
            event => return event,
        }
    }
}

/// The next batch, as names and values (`None`: deleted).
async fn changes(watcher: &mut Watcher) -> (Cursor, Vec<(String, Option<Bytes>)>) {
    match next(watcher).await {
        WatchEvent::Batch { cursor, changes } => {
            let told = changes.into_iter().map(|change| match change {
                Change::Put(item) => {
                    assert_eq!(item.cursor, cursor, "an item carries the cursor of its batch");
                    (item.key.name().to_owned(), Some(item.value))
                }
                Change::Delete { key } => (key.name().to_owned(), None),
            });
            (cursor, told.collect())
        }
        other => panic!("a batch was expected, found {other:?}"),
    }
}

fn put(name: &str, value: &str) -> (String, Option<Bytes>) {
    (name.to_owned(), Some(Bytes::from(value.to_owned())))
}

async fn changes_are_told_in_order(fixture: &Fixture) {
    fixture.put("before", "0").await;
    let mut all = fixture.backend.watch(&Prefix::all(), None).await.expect("a watcher");
    let mut things = fixture.backend.watch(&Prefix::names("thing", "", "a"), None).await.expect("a watcher");
    let batch = Batch::new().put(key("b"), "1", None).put(key("a"), "1", None).put(Key::new("other", "a"), "1", None);
    let first = fixture.batch(batch).await.expect("stored");
    let second = fixture.put("a", "2").await;
    assert_eq!(changes(&mut all).await, (first.cursor, vec![put("b", "1"), put("a", "1"), put("a", "1")]));
    assert_eq!(changes(&mut all).await, (second.cursor, vec![put("a", "2")]));
    assert_eq!(changes(&mut things).await, (first.cursor, vec![put("a", "1")]), "only what lies under the prefix");
    assert_eq!(changes(&mut things).await, (second.cursor, vec![put("a", "2")]));
    // A refused batch is not told.
    let refused = Batch::new().require(Condition::Absent(key("a"))).put(key("x"), "", None);
    fixture.batch(refused).await.expect_err("a is there");
    let third = fixture.put("c", "3").await;
    assert_eq!(changes(&mut all).await.0, third.cursor);
}

async fn a_watch_resumes(fixture: &Fixture) {
    let first = fixture.put("a", "1").await;
    let page = fixture.backend.range(&Prefix::all(), None, 10).await.expect("a page");
    assert_eq!(page.cursor, first.cursor);
    let second = fixture.put("b", "2").await;
    let third = fixture.put("c", "3").await;
    let mut from_page = fixture.backend.watch(&Prefix::all(), Some(page.cursor)).await.expect("a watcher");
    assert_eq!(changes(&mut from_page).await, (second.cursor, vec![put("b", "2")]));
    drop(from_page);
    let mut resumed = fixture.backend.watch(&Prefix::all(), Some(second.cursor)).await.expect("a watcher");
    assert_eq!(changes(&mut resumed).await, (third.cursor, vec![put("c", "3")]));
    let text: Cursor = third.cursor.to_string().parse().expect("a cursor survives as text");
    assert_eq!(text, third.cursor);
}

async fn progress_comes_in_time(fixture: &Fixture) {
    let written = fixture.put("a", "1").await;
    let mut watcher = fixture.backend.watch(&Prefix::kind("nothing"), None).await.expect("a watcher");
    match watcher.next().await {
        WatchEvent::Progress(cursor) => assert!(cursor >= written.cursor, "a mark comes as soon as it has caught up"),
        other => panic!("progress was expected, found {other:?}"),
    }
    let later = fixture.put("a", "2").await;
    let clock = fixture.manual.clock();
    let started = clock.monotonic();
    let real = Clock::system();
    let mut event = std::pin::pin!(watcher.next());
    // The back end may have tasks of its own asleep, so time moves in small steps until the mark comes, and real time
    // passes in between for them to run.
    let mark = loop {
        tokio::select! {
            biased;
            event = &mut event => break event,
            () = real.sleep(Duration::from_millis(1)) => {}
        }
        assert!(clock.monotonic() - started <= PROGRESS_WITHIN, "a mark comes within {PROGRESS_WITHIN:?}");
        fixture.manual.advance(Duration::from_millis(10));
    };
    match mark {
        WatchEvent::Progress(cursor) => assert!(cursor >= later.cursor, "changes elsewhere are progress too"),
        other => panic!("progress was expected, found {other:?}"),
    }
}

async fn progress_is_not_ahead_of_what_is_told(fixture: &Fixture) {
    fixture.put("a", "1").await;
    let mut watcher = fixture.backend.watch(&Prefix::all(), None).await.expect("a watcher");
    assert!(matches!(watcher.next().await, WatchEvent::Progress(_)), "a mark comes as soon as it has caught up");
    fixture.put("b", "1").await;
    let last = fixture.put("c", "1").await;
    fixture.manual.advance(PROGRESS_WITHIN);
    for name in ["b", "c"] {
        match watcher.next().await {
            WatchEvent::Batch { changes, .. } => assert_eq!(changes[0].key().name(), name),
            other => panic!("whoever hears of progress takes what it knows for new: {other:?} before {name}"),
        }
    }
    match watcher.next().await {
        WatchEvent::Progress(cursor) => assert!(cursor >= last.cursor),
        other => panic!("progress was expected, found {other:?}"),
    }
}

async fn deletions_are_told(fixture: &Fixture) {
    let gone = fixture.after(Duration::from_secs(1));
    fixture.batch(Batch::new().put(key("a"), "1", gone).put(key("b"), "1", None)).await.expect("stored");
    let mut watcher = fixture.backend.watch(&Prefix::all(), None).await.expect("a watcher");
    fixture.batch(Batch::new().delete(key("b")).delete(key("never"))).await.expect("deleted");
    assert_eq!(changes(&mut watcher).await.1, [("b".to_owned(), None)], "what was not there is not told");
    // Expiry is silent until the sweep.
    fixture.manual.advance(Duration::from_secs(2));
    fixture.put("c", "1").await;
    assert_eq!(changes(&mut watcher).await.1, [put("c", "1")]);
    let due = fixture.backend.expired(10).await.expect("a look");
    let sweep = due.iter().fold(Batch::new(), |batch, item| {
        batch.require(Condition::Expired(item.key.clone(), item.revision)).delete(item.key.clone())
    });
    fixture.batch(sweep).await.expect("swept");
    assert_eq!(changes(&mut watcher).await.1, [("a".to_owned(), None)]);
    fixture.backend.delete_range(&Prefix::kind("thing")).await.expect("deleted");
    assert_eq!(changes(&mut watcher).await.1, [("c".to_owned(), None)]);
}

/// Writers race; each watcher sees every batch once, whole, in one order, and ends with what storage holds.
async fn all_watchers_agree(fixture: &Arc<Fixture>) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let mut watchers = JoinSet::new();
    for _ in 0..3 {
        let mut watcher = fixture.backend.watch(&Prefix::all(), None).await.expect("a watcher");
        watchers.spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < WRITERS * EACH {
                let (cursor, changes) = changes(&mut watcher).await;
                assert_eq!(changes.len(), 2, "a batch is told whole");
                assert_eq!(changes.first().map(|c| &c.1), changes.last().map(|c| &c.1));
                seen.push((cursor, changes));
            }
            seen
        });
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let fixture = fixture.clone();
        writers.spawn(async move {
            let mut last = None;
            for n in 0..EACH {
                let value = format!("{writer}-{n}");
                let batch = Batch::new().put(key("shared"), value.clone(), None);
                let batch = batch.put(key(&format!("{writer}-{}", n % 3)), value, None);
                let cursor = fixture.batch(batch).await.expect("stored").cursor;
                assert!(last.is_none_or(|last| cursor > last), "begun after the answer comes after it");
                last = Some(cursor);
            }
        });
    }
    writers.join_all().await;
    let mut seen = watchers.join_all().await;
    let first = seen.pop().expect("a watcher");
    assert!(first.is_sorted_by(|a, b| a.0 < b.0), "in one order");
    assert!(seen.iter().all(|other| *other == first), "the same for all");
    let last: BTreeMap<_, _> = first.into_iter().flat_map(|(_, changes)| changes).collect();
    for (name, value) in last {
        assert_eq!(fixture.value(&name).await, value, "the last event is what is stored");
    }
}

async fn who_falls_behind_is_told(fixture: &Fixture) {
    const ENOUGH: usize = 64 * 1024 * 1024;
    const VALUE: usize = 400 * 1024;
    let first = fixture.put("a", "1").await;
    let mut slow = fixture.backend.watch(&Prefix::all(), Some(first.cursor)).await.expect("a watcher");
    let mut lost = false;
    let (mut written, value) = (0, Bytes::from(vec![1; VALUE]));
    while !lost && written < ENOUGH {
        for _ in 0..8 {
            fixture.batch(Batch::new().put(key("big"), value.clone(), None)).await.expect("stored");
            written += VALUE;
        }
        let mut late = fixture.backend.watch(&Prefix::all(), Some(first.cursor)).await.expect("a watcher");
        lost = late.next().await == WatchEvent::Resync;
    }
    assert!(lost, "the backlog is bounded, and an old cursor is told so");
    assert_eq!(next(&mut slow).await, WatchEvent::Resync, "and so is a watcher that fell behind");
    assert_eq!(slow.next().await, WatchEvent::Resync, "which is the last event");
    let mut anew = fixture.backend.watch(&Prefix::all(), None).await.expect("a watcher");
    fixture.put("b", "2").await;
    assert_eq!(changes(&mut anew).await.1, [put("b", "2")]);
}

/// A cursor of another incarnation means nothing here.
async fn foreign_cursors_are_told(fixture: &Fixture, other: &Fixture) {
    fixture.put("a", "1").await;
    let foreign = other.put("a", "1").await.cursor;
    assert_eq!(foreign.partial_cmp(&fixture.put("b", "1").await.cursor), None);
    let mut watcher = fixture.backend.watch(&Prefix::all(), Some(foreign)).await.expect("a watcher");
    assert_eq!(watcher.next().await, WatchEvent::Resync);
}
