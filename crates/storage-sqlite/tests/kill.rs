//! A process that writes is killed at any moment: every batch that was answered is there, and none by half.
//!
//! Runs itself as the process to be killed, so it is a program of its own instead of a `#[test]`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "the two processes talk over standard output")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use crypto::Random;
use storage::{Backend, Batch, JournalEntry, Key, Prefix};
use storage_sqlite::{Options, Sqlite};

/// How often the writing process is killed, in one file.
const KILLS: u64 = 8;

/// Writers at once, so that commits are groups.
const WRITERS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "write-until-killed") {
        Some(at) => write_until_killed(Path::new(&arguments[at + 1]), &arguments[at + 2]),
        None => survives_kills(),
    }
}

fn open(path: &Path) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(path, Clock::system(), &Random::system(), Options::default()).expect("the store opens"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

/// Each batch stores two items and a journal entry of one name; the name is printed once the batch was answered.
fn write_until_killed(path: &Path, round: &str) {
    let store = open(path);
    runtime().block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (store, round) = (store.clone(), round.to_owned());
            writers.spawn(async move {
                let (clock, random) = (Clock::system(), Random::system());
                for n in 0.. {
                    let name = format!("{round}-{writer}-{n}");
                    let time = clock.now();
                    let entry = JournalEntry { id: random.uuid_v7(time), time, value: name.clone().into() };
                    let batch = Batch::new()
                        .put(Key::new("left", name.clone()), vec![1; 2_000], None)
                        .put(Key::new("right", name.clone()), vec![2; 200], None)
                        .journal(entry);
                    store.batch(batch).await.expect("stored");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{name}").and_then(|()| out.flush()).expect("the parent listens");
                }
            });
        }
        writers.join_all().await;
    });
}

fn survives_kills() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.sqlite");
    let mut answered = BTreeSet::new();
    for round in 0..KILLS {
        let myself = std::env::current_exe().expect("this program");
        let mut child = Command::new(myself)
            .arg("write-until-killed")
            .arg(&path)
            .arg(round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        // On a busy machine the start alone takes longer than everything after it.
        answered.insert(lines.next().expect("the child writes something"));
        let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
        // Different moments of a group commit and of a checkpoint.
        std::thread::sleep(Duration::from_millis(37 * round));
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        answered.extend(reader.join().expect("the reader ends"));
        check(&path, &answered);
    }
    println!("kill: ok, {} answered batches survived {KILLS} kills", answered.len());
}

fn check(path: &Path, answered: &BTreeSet<String>) {
    let store = open(path);
    runtime().block_on(async {
        let left = names(&store, "left").await;
        assert_eq!(left, names(&store, "right").await, "no batch by half");
        assert_eq!(left, journal(&store).await, "no change without its journal entry, no entry without its change");
        let lost: Vec<_> = answered.difference(&left).collect();
        assert!(lost.is_empty(), "answered and lost: {lost:?}");
    });
}

async fn names(store: &Sqlite, kind: &'static str) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.range(&Prefix::kind(kind), after.as_ref(), 1_000).await.expect("a page");
        after = page.items.last().map(|item| item.key.clone());
        names.extend(page.items.into_iter().map(|item| item.key.name().to_owned()));
        if !page.more {
            return names;
        }
    }
}

async fn journal(store: &Sqlite) -> BTreeSet<String> {
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.journal_read(after, 1_000).await.expect("the journal");
        after = page.records.last().map(|record| record.position).or(after);
        let values = page.records.into_iter().map(|record| String::from_utf8(record.entry.value.to_vec()));
        names.extend(values.map(|value| value.expect("text")));
        if !page.more {
            return names;
        }
    }
}
