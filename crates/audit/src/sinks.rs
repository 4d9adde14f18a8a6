//! Where audit records go besides the store. A sink that fails falls behind and catches up; it stops nobody.

mod file;
mod stdout;

use async_trait::async_trait;
use bytes::Bytes;
use storage::{Backend, Batch, JournalPosition, Key};

pub use file::FileSink;
pub use stdout::StdoutSink;

use crate::chain::{decode, encode};

/// Storage kind of the places up to which sinks have everything.
const KIND: &str = "audit_sink";
/// How many records are handed to a sink at a time.
const CHUNK: usize = 500;

/// A place that takes audit records as lines of JSON, each at least once; repeated ones have the same `uid`.
#[async_trait]
pub trait Sink: Send + 'static {
    /// Tells this sink from others, also after a restart.
    fn name(&self) -> &str;

    /// Takes lines (without line ends). When this returns, they will survive the end of our process.
    async fn write(&mut self, lines: &[Bytes]) -> std::io::Result<()>;
}

/// A sink, and how far it has got.
pub(crate) struct Delivery {
    sink: Box<dyn Sink>,
    position: Option<Option<JournalPosition>>,
    is_failing: bool,
}

impl Delivery {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, position: None, is_failing: false }
    }

    /// Hands on everything that the sink does not have yet.
    pub(crate) async fn catch_up(&mut self, backend: &dyn Backend) {
        if let Err(reason) = self.try_catch_up(backend).await {
            self.failed(&reason);
        } else if std::mem::take(&mut self.is_failing) {
            tracing::info!(sink = self.sink.name(), "audit sink has caught up");
        }
    }

    /// Hands on a line that is not in the journal.
    pub(crate) async fn line(&mut self, line: Bytes) {
        if let Err(error) = self.sink.write(&[line]).await {
            self.failed(&error.to_string());
        }
    }

    async fn try_catch_up(&mut self, backend: &dyn Backend) -> Result<(), String> {
        let text = |error: storage::Error| error.to_string();
        let key = Key::new(KIND, self.sink.name());
        let mut position = match self.position {
            Some(position) => position,
            None => match backend.get(&key).await.map_err(text)? {
                Some(item) => Some(JournalPosition(decode(&key, &item.value).map_err(text)?)),
                None => None,
            },
        };
        let before = position;
        loop {
            let page = backend.journal_read(position, CHUNK).await.map_err(text)?;
            let Some(last) = page.records.last() else { break };
            let lines: Vec<Bytes> = page.records.iter().map(|record| record.entry.value.clone()).collect();
            self.sink.write(&lines).await.map_err(|error| error.to_string())?;
            position = Some(last.position);
            if !page.more {
                break;
            }
        }
        if let Some(JournalPosition(to)) = position.filter(|_| position != before) {
            backend.batch(Batch::new().put(key, encode(&to), None)).await.map_err(text)?;
        }
        self.position = Some(position);
        Ok(())
    }

    /// Said once, not twice a second.
    fn failed(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(sink = self.sink.name(), reason, "audit sink fails; records wait in the store");
        }
    }
}

#[cfg(test)]
mod tests;
