use std::time::Duration;

use clock::ManualClock;
use crypto::Random;
use storage::{Batch, memory::Memory};

use super::*;
use crate::{
    Recorder, ResourceMetadata,
    events::{role::RoleCreate, user::UserDelete},
};

/// A log with a record each minute, in turn of two types, named by their number.
async fn log(count: usize) -> (Timestamp, JournalStore, Arc<Memory>) {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = ManualClock::new(start);
    let random = Random::seeded(5);
    let backend = Arc::new(Memory::new(clock.clock(), &random));
    let recorder = Recorder::new("example.com", clock.clock(), random);
    for number in 0..count {
        let resource = ResourceMetadata::new(number.to_string(), None, "");
        let entry = match number % 2 {
            0 => recorder.entry(&RoleCreate { resource, ..Default::default() }),
            _ => recorder.entry(&UserDelete { resource, ..Default::default() }),
        };
        backend.batch(Batch::new().journal(entry)).await.unwrap();
        clock.advance(Duration::from_secs(60));
    }
    (start, JournalStore::new(Arc::clone(&backend) as Arc<dyn Backend>), backend)
}

fn query(start: Timestamp, from: u64, to: u64) -> Query {
    let minute = |minutes: u64| start + Duration::from_secs(60 * minutes);
    Query {
        from: minute(from),
        to: minute(to),
        types: vec![],
        text: None,
        order: Order::OldestFirst,
        limit: 7,
        cursor: None,
    }
}

/// All pages of a search, as the records' names.
async fn names(store: &JournalStore, mut query: Query) -> Vec<usize> {
    let mut names = Vec::new();
    loop {
        let found = store.search(&query).await.unwrap();
        assert!(found.next.is_none() || !found.entries.is_empty(), "an empty page with a cursor");
        for entry in &found.entries {
            names.push(entry.value().unwrap()["name"].as_str().unwrap().parse().unwrap());
        }
        match found.next {
            Some(next) => query.cursor = Some(next),
            None => return names,
        }
    }
}

#[tokio::test]
async fn both_orders_give_exactly_the_range() {
    let (start, store, backend) = log(1200).await;
    for (from, to) in [(0, 0), (0, 1199), (100, 110), (1190, 5000), (40, 39), (600, 1150)] {
        let expected: Vec<usize> = (0..1200).filter(|at| (from..=to).contains(at)).collect();
        let mut asked = query(start, from as u64, to as u64);
        assert_eq!(names(&store, asked.clone()).await, expected, "{from}..={to}");
        asked.order = Order::NewestFirst;
        let reversed: Vec<usize> = expected.into_iter().rev().collect();
        assert_eq!(names(&store, asked).await, reversed, "{from}..={to} reversed");
    }
    // After retention the log begins later.
    backend.journal_trim(JournalPosition(1000)).await.unwrap();
    let mut asked = query(start, 0, 5000);
    let left = names(&store, asked.clone()).await;
    assert!(left.len() < 1200 && left.last() == Some(&1199));
    asked.order = Order::NewestFirst;
    assert!(names(&store, asked).await.into_iter().rev().eq(left));
}

#[tokio::test]
async fn types_and_text_filter() {
    let (start, store, _) = log(50).await;
    let asked = Query { types: vec!["user.delete".into()], ..query(start, 0, 100) };
    assert!(names(&store, asked).await.into_iter().eq((0..50).filter(|at| at % 2 == 1)));
    let asked = Query { text: Some(r#""NAME":"4"#.into()), ..query(start, 0, 100) };
    assert_eq!(names(&store, asked).await, [4, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49]);
    let asked = Query { cursor: Some("zz".into()), ..query(start, 0, 1) };
    assert!(matches!(store.search(&asked).await, Err(SearchError::Cursor)));
}

#[tokio::test]
async fn an_answer_fits_a_message_however_large_the_records_are() {
    let (start, store, backend) = log(3).await;
    let (random, time) = (Random::seeded(6), start + Duration::from_secs(600));
    for number in 3..40 {
        let id = random.uuid_v7(time);
        let value = serde_json::json!({
            "event": "session.data", "uid": id, "time": time.to_string(), "name": number.to_string(),
            "path": "x".repeat(400_000),
        });
        let entry = storage::JournalEntry { id, time, value: value.to_string().into() };
        backend.batch(Batch::new().journal(entry)).await.unwrap();
    }
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut asked = Query { order, limit: 0, ..query(start, 0, 5000) };
        let mut names = Vec::new();
        loop {
            let found = store.search(&asked).await.unwrap();
            let bytes: usize = found.entries.iter().map(|entry| entry.json.len()).sum();
            assert!(bytes <= MAX_BYTES, "{bytes} bytes in one answer");
            let name = |entry: &Entry| entry.value().unwrap()["name"].as_str().unwrap().parse::<u32>().unwrap();
            names.extend(found.entries.iter().map(name));
            let Some(next) = found.next else { break };
            asked.cursor = Some(next);
        }
        names.sort_unstable();
        assert!(names.iter().copied().eq(0..40), "{order:?}: {names:?}");
    }
}

/// On the way down from such a place the windows would grow until one held the whole log.
#[tokio::test]
async fn a_cursor_beyond_the_end_is_no_way_to_the_whole_log() {
    let (start, store, _) = log(1200).await;
    for cursor in ["ffffffffffffffff", "fffffff", "4b1"] {
        let asked = Query { order: Order::NewestFirst, cursor: Some(cursor.into()), ..query(start, 0, 5000) };
        assert_eq!(store.search(&asked).await.unwrap(), Found::default(), "{cursor}");
    }
    let asked = Query { order: Order::NewestFirst, cursor: Some("4b0".into()), ..query(start, 0, 5000) };
    assert_eq!(store.search(&asked).await.unwrap().entries.len(), 7, "the last position is one");
}

#[tokio::test]
async fn a_text_that_is_nowhere_is_searched_in_bounded_steps() {
    let (start, mut store, _) = log(1200).await;
    store.scan_at_most = 500;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for (text, expected) in [("nowhere", None), (r#""name":"600""#, Some("600"))] {
            let mut asked = Query { text: Some(text.into()), order, limit: 0, ..query(start, 0, 5000) };
            let (mut found, mut steps) = (Vec::new(), 0);
            loop {
                let page = store.search(&asked).await.unwrap();
                steps += 1;
                found.extend(page.entries.iter().map(|entry| entry.value().unwrap()["name"].clone()));
                let Some(next) = page.next else { break };
                assert_ne!(asked.cursor.replace(next.clone()), Some(next), "no step forward");
            }
            assert!((2..=4).contains(&steps), "{order:?} {text}: {steps} steps");
            assert!(found.iter().eq(&expected.map(serde_json::Value::from)), "{order:?} {text}: {found:?}");
        }
    }
}
