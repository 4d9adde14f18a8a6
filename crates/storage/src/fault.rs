//! A back end that fails when told to, for tests of what callers do about it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Batch, Committed};
use crate::error::Error;
use crate::feed::Watcher;
use crate::item::{Cursor, Item, Page};
use crate::journal::{JournalPage, JournalPosition};
use crate::key::{Key, Prefix};
use crate::{Backend, Result};

/// What happens to one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing unusual.
    #[default]
    None,
    /// It is refused: [`Error::Unavailable`].
    Unavailable,
    /// It is not applied, and the caller cannot know: [`Error::OutcomeUnknown`].
    UnknownLost,
    /// It is applied, and the caller cannot know: [`Error::OutcomeUnknown`].
    UnknownApplied,
}

type Hook = dyn Fn(&Batch) -> Fault + Send + Sync;
type Refuses = dyn Fn() -> bool + Send + Sync;

/// Passes everything through to another back end, except batches for which a hook names a fault, and reads that another
/// one refuses.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Backend>,
    hook: Arc<Hook>,
    refuses_reads: Arc<Refuses>,
}

impl Faulty {
    /// Wraps a back end; `hook` is asked before each batch.
    pub fn new(inner: Arc<dyn Backend>, hook: impl Fn(&Batch) -> Fault + Send + Sync + 'static) -> Self {
        Self { inner, hook: Arc::new(hook), refuses_reads: Arc::new(|| false) }
    }

    /// Asks before each read whether it is refused: [`Error::Unavailable`].
    #[must_use]
    pub fn refusing_reads(self, when: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { refuses_reads: Arc::new(when), ..self }
    }

    fn read(&self) -> Result<&dyn Backend> {
        if (self.refuses_reads)() { Err(unavailable()) } else { Ok(&*self.inner) }
    }
}

fn unavailable() -> Error {
    Error::Unavailable { reason: "injected by a test".to_owned() }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl Backend for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        self.read()?.get(key).await
    }

    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        self.read()?.range(prefix, after, limit).await
    }

    async fn batch(&self, batch: Batch) -> Result<Committed> {
        // As with a disk: others go on meanwhile.
        tokio::task::yield_now().await;
        let unknown = || Error::OutcomeUnknown { reason: "injected by a test".to_owned() };
        match (self.hook)(&batch) {
            Fault::None => self.inner.batch(batch).await,
            Fault::Unavailable => Err(unavailable()),
            Fault::UnknownLost => Err(unknown()),
            Fault::UnknownApplied => self.inner.batch(batch).await.and_then(|_| Err(unknown())),
        }
    }

    async fn delete_range(&self, prefix: &Prefix) -> Result<u64> {
        self.inner.delete_range(prefix).await
    }

    async fn watch(&self, prefix: &Prefix, cursor: Option<Cursor>) -> Result<Watcher> {
        self.inner.watch(prefix, cursor).await
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Item>> {
        self.read()?.expired(limit).await
    }

    async fn journal_read(&self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage> {
        self.read()?.journal_read(after, limit).await
    }

    async fn journal_trim(&self, to: JournalPosition) -> Result<()> {
        self.inner.journal_trim(to).await
    }

    fn volatile(&self) -> Option<&'static str> {
        self.inner.volatile()
    }
}
