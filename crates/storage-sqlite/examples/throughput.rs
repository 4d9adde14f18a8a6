//! How many batches of one row and one journal entry become durable in a second:
//! `cargo run --release -p storage-sqlite --example throughput -- [WRITERS] [SECONDS] [full|normal|off] [DIRECTORY]`
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use crypto::Random;
use storage::{Backend, Batch, JournalEntry, Key};
use storage_sqlite::{Options, Sqlite, Synchronous};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let writers: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(32);
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let synchronous = match arguments.next().as_deref() {
        Some("off") => Synchronous::Off,
        Some("normal") => Synchronous::Normal,
        _ => Synchronous::Full,
    };
    let base = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(base).expect("a temporary directory");
    let options = Options { synchronous, ..Options::default() };
    let path = directory.path().join("state.sqlite");
    let store = Sqlite::open(&path, Clock::system(), &Random::system(), options).expect("a store");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut spans = runtime.block_on(measure(Arc::new(store), writers, Duration::from_secs(seconds)));
    spans.sort();
    let at = |share: usize| spans.get(spans.len() * share / 1000).copied().unwrap_or_default();
    let rate = spans.len() as u64 / seconds;
    println!("{writers} writers, {synchronous:?}: {rate} batches/s, p50 {:?}, p99 {:?}", at(500), at(990));
}

/// Each writer changes its own 1,000 rows of 1 kB, one after the other; gives how long each batch took.
async fn measure(store: Arc<Sqlite>, writers: usize, span: Duration) -> Vec<Duration> {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let (clock, random) = (Clock::system(), Random::system());
            let (start, mut spans) = (clock.monotonic(), Vec::new());
            while clock.monotonic() - start < span {
                let name = format!("{writer}-{}", spans.len() % 1_000);
                let time = clock.now();
                let entry = JournalEntry { id: random.uuid_v7(time), time, value: vec![2; 500].into() };
                let batch = Batch::new().put(Key::new("thing", name), vec![1; 1_000], None).journal(entry);
                let before = clock.monotonic();
                store.batch(batch).await.expect("stored");
                spans.push(clock.monotonic() - before);
            }
            spans
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
