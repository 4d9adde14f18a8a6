//! The suite that every adapter passes: what callers rely on, and nothing that one of the back ends cannot keep.

mod batches;
mod journal;
mod ranges;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clock::{Clock, ManualClock, Timestamp};
use crypto::Random;

use crate::{Backend, Batch, Committed, Condition, Error, Item, Key, Prefix};

/// Where the clock of a test begins.
const START: &str = "2026-01-01T00:00:00Z";

/// Runs the whole suite. `open` gives a new, empty back end on the given clock each time; needs a runtime with
/// several threads.
///
/// # Panics
/// When a promise is broken, saying which.
pub async fn run(open: impl Fn(Clock, Random) -> Arc<dyn Backend>) {
    let fixture = |seed: u64| Fixture::new(&open, seed);
    batches::run(&fixture).await;
    ranges::run(&fixture).await;
    watches::run(&fixture).await;
    journal::run(&fixture).await;
}

/// A new back end and the hands of its clock.
struct Fixture {
    backend: Arc<dyn Backend>,
    manual: ManualClock,
    random: Random,
}

impl Fixture {
    fn new(open: &impl Fn(Clock, Random) -> Arc<dyn Backend>, seed: u64) -> Self {
        let manual = ManualClock::new(START.parse().expect("a valid time"));
        let random = Random::seeded(seed);
        Self { backend: open(manual.clock(), random.clone()), manual, random }
    }

    fn now(&self) -> Timestamp {
        self.manual.clock().now()
    }

    fn after(&self, span: Duration) -> Option<Timestamp> {
        Some(self.now().checked_add(span).expect("a time in range"))
    }

    async fn batch(&self, batch: Batch) -> Result<Committed, Error> {
        self.backend.batch(batch).await
    }

    async fn put(&self, name: &str, value: &str) -> Committed {
        let batch = Batch::new().put(key(name), value.to_owned(), None);
        self.batch(batch).await.expect("a plain put")
    }

    async fn get(&self, name: &str) -> Option<Item> {
        self.backend.get(&key(name)).await.expect("a plain get")
    }

    async fn value(&self, name: &str) -> Option<Bytes> {
        self.get(name).await.map(|item| item.value)
    }

    /// The names under a prefix, read in pages.
    async fn names(&self, prefix: &Prefix, page: usize) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let read = self.backend.range(prefix, after.as_ref(), page).await.expect("a range");
            assert!(read.items.len() <= page, "a page is no longer than asked for");
            after = read.items.last().map(|item| item.key.clone());
            names.extend(read.items.into_iter().map(|item| item.key.name().to_owned()));
            if !read.more {
                return names;
            }
            assert!(after.is_some(), "a page with more to come is not empty");
        }
    }
}

/// A key of the kind that the tests use.
fn key(name: &str) -> Key {
    Key::new("thing", name.to_owned())
}

/// Asserts that a condition failed, and which.
fn refused(result: Result<Committed, Error>, index: usize, name: &str) {
    assert_eq!(result, Err(Error::Condition { index, key: key(name) }));
}

/// A revision that nothing has.
fn foreign(item: &Item) -> Condition {
    Condition::Revision(item.key.clone(), crate::Revision::new(u64::MAX >> 1, 7))
}
