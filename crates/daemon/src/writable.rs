//! Notices when the store refuses to be written or takes too long over it, and when it is well again: a full or dying disk
//! must be seen in readiness, though everything can still be read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use clock::Clock;
use storage::{
    Backend, Batch, Committed, Cursor, Error, Item, JournalPage, JournalPosition, Key, Page, Prefix, Result, Watcher,
    Write,
};

/// A write that takes longer is worth saying: callers that give up ask again, and make a slow disk slower. Far above what
/// a healthy disk needs for a full group of commits, far below the patience of a caller.
const SLOW: Duration = Duration::from_secs(2);

/// How long a look waits for the write with which it tries the store: it looks again soon.
const PROBE: Duration = Duration::from_secs(1);

/// Passes everything through and remembers how the last write went.
pub(crate) struct Writable {
    inner: Arc<dyn Backend>,
    clock: Clock,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What was wrong with the last write that ended.
    last: Option<String>,
    /// When each write began that has not ended.
    waiting: BTreeMap<u64, Duration>,
    next: u64,
}

/// A write that has begun; its end is noticed even when nobody waits for its answer any more.
struct Begun<'a> {
    writable: &'a Writable,
    number: u64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.writable.seen().waiting.remove(&self.number);
    }
}

impl Writable {
    /// Watches over `inner`.
    pub(crate) fn new(inner: Arc<dyn Backend>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { inner, clock, seen: Mutex::default() })
    }

    /// What is wrong with writing; nothing when all is well. Tries to write again before it says so, because without
    /// readiness nobody else may come and try.
    pub(crate) async fn illness(&self) -> Option<String> {
        self.noted()?;
        let key = Key::new("tessera_probe", "write");
        let probe = Write::Put { key, value: Bytes::new(), expires: None };
        // The answer is noted like that of every write, and so is that there was none.
        let probe = self.batch(Batch { writes: vec![probe], ..Batch::default() });
        if self.clock.timeout(PROBE, probe).await.is_err() {
            return self.noted().or_else(|| Some(slow(PROBE)));
        }
        self.noted()
    }

    fn noted(&self) -> Option<String> {
        let seen = self.seen();
        let longest = seen.waiting.values().min().map(|began| self.clock.monotonic().saturating_sub(*began));
        longest.filter(|waited| *waited > SLOW).map(slow).or_else(|| seen.last.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, now: Duration) -> Begun<'_> {
        let mut seen = self.seen();
        let number = seen.next;
        seen.next += 1;
        seen.waiting.insert(number, now);
        Begun { writable: self, number }
    }
}

fn slow(waited: Duration) -> String {
    format!("the store is slow: a write has been waiting for {} s", waited.as_secs())
}

#[async_trait]
impl Backend for Writable {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        self.inner.get(key).await
    }

    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        self.inner.range(prefix, after, limit).await
    }

    async fn batch(&self, batch: Batch) -> Result<Committed> {
        let began = self.clock.monotonic();
        let begun = self.begin(began);
        let result = self.inner.batch(batch).await;
        drop(begun);
        let took = self.clock.monotonic().saturating_sub(began);
        let illness = match &result {
            Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. } | Error::Corrupt { .. })) => {
                Some(format!("the store cannot be written: {error}"))
            }
            _ if took > SLOW => Some(format!("the store is slow: the last write took {} s", took.as_secs())),
            // A condition that does not hold says nothing about the disk.
            Err(_) => return result,
            Ok(_) => None,
        };
        self.seen().last = illness;
        result
    }

    async fn delete_range(&self, prefix: &Prefix) -> Result<u64> {
        self.inner.delete_range(prefix).await
    }

    async fn watch(&self, prefix: &Prefix, cursor: Option<Cursor>) -> Result<Watcher> {
        self.inner.watch(prefix, cursor).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Item>> {
        self.inner.expired(limit).await
    }

    async fn journal_read(&self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage> {
        self.inner.journal_read(after, limit).await
    }

    async fn journal_trim(&self, to: JournalPosition) -> Result<()> {
        self.inner.journal_trim(to).await
    }

    fn volatile(&self) -> Option<&'static str> {
        self.inner.volatile()
    }
}
