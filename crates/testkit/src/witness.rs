//! A store that somebody watches: told before and after each durable write, and free to delay it or never let it be answered.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use storage::{
    Backend, Batch, Committed, Cursor, Item, JournalPage, JournalPosition, Key, Page, Prefix, Result, Watcher,
};

/// One durable write.
#[derive(Debug, Clone)]
pub struct DurableWrite {
    /// Counted from 1 for each store that was opened.
    pub number: usize,
    /// What is written: the keys, or the kind of the change.
    pub what: String,
}

/// Is there when something is written. As long as it does not return, nothing goes on for whoever writes.
#[async_trait]
pub trait Witness: Send + Sync + 'static {
    /// Nothing was written yet.
    async fn before(&self, write: &DurableWrite);
    /// It is durable, or was refused, and nobody knows yet.
    async fn after(&self, write: &DurableWrite);
}

/// A store with its witness.
pub struct Witnessed {
    inner: Arc<dyn Backend>,
    witness: Arc<dyn Witness>,
    count: AtomicUsize,
}

impl Witnessed {
    /// What [`daemon::Environment::around_store`] takes.
    pub fn around(witness: Arc<dyn Witness>) -> daemon::AroundStore {
        Arc::new(move |inner| {
            let witness = Arc::clone(&witness);
            Arc::new(Self { inner, witness, count: AtomicUsize::new(0) })
        })
    }

    /// In a task of its own: a write that has begun comes to its end though nobody waits for it any more, as on a disk.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the write, and its result is waited for")]
    async fn write<T, W>(&self, what: String, write: impl FnOnce(Arc<dyn Backend>) -> W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let durable = DurableWrite { number: self.count.fetch_add(1, Ordering::Relaxed) + 1, what };
        let (witness, write) = (Arc::clone(&self.witness), write(Arc::clone(&self.inner)));
        let whole = tokio::spawn(async move {
            witness.before(&durable).await;
            let result = write.await;
            witness.after(&durable).await;
            result
        });
        whole.await.expect("neither the store nor its witness panics")
    }
}

fn describe(batch: &Batch) -> String {
    let keys = batch.writes.iter().map(|write| write.key().to_string());
    let journal = (!batch.journal.is_empty()).then(|| format!("{} journal entries", batch.journal.len()));
    keys.chain(journal).collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Backend for Witnessed {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        self.inner.get(key).await
    }

    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        self.inner.range(prefix, after, limit).await
    }

    async fn batch(&self, batch: Batch) -> Result<Committed> {
        if batch.writes.is_empty() && batch.journal.is_empty() {
            return self.inner.batch(batch).await;
        }
        self.write(describe(&batch), |inner| async move { inner.batch(batch).await }).await
    }

    async fn delete_range(&self, prefix: &Prefix) -> Result<u64> {
        let prefix = prefix.clone();
        self.write(format!("deletes {prefix:?}"), |inner| async move { inner.delete_range(&prefix).await }).await
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
        self.write("trims the journal".to_owned(), move |inner| async move { inner.journal_trim(to).await }).await
    }

    fn volatile(&self) -> Option<&'static str> {
        self.inner.volatile()
    }
}
