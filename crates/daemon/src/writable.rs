//! Notices when the store refuses to be written, and when it takes writes again: a full disk must be seen in readiness,
//! though everything can still be read.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use storage::{
    Backend, Batch, Committed, Cursor, Error, Item, JournalPage, JournalPosition, Key, Page, Prefix, Result, Watcher,
    Write,
};

/// Passes everything through and remembers how the last write went.
pub(crate) struct Writable {
    inner: Arc<dyn Backend>,
    refusal: Mutex<Option<String>>,
}

impl Writable {
    /// Watches over `inner`.
    pub(crate) fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, refusal: Mutex::default() })
    }

    /// Why the last write was refused; nothing when it was not. Tries to write again before it says so, because without
    /// readiness nobody else may come and try.
    pub(crate) async fn refusal(&self) -> Option<String> {
        self.noted()?;
        let key = Key::new("tessera_probe", "write");
        let probe = Write::Put { key, value: Bytes::new(), expires: None };
        // The answer is noted like that of every write.
        let _ = self.batch(Batch { writes: vec![probe], ..Batch::default() }).await;
        self.noted()
    }

    fn noted(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
        let result = self.inner.batch(batch).await;
        let refusal = match &result {
            Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. } | Error::Corrupt { .. })) => {
                Some(error.to_string())
            }
            // A condition that does not hold says nothing about the disk.
            Err(_) => return result,
            Ok(_) => None,
        };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
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
