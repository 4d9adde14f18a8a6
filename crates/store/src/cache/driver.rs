//! Fills the cache and keeps it fresh: reads everything, then follows the change stream, again after every loss.

use std::time::Duration;

use domain::{Error, Kind};
use storage::{Cursor, Key, Prefix, WatchEvent, Watcher};

use super::{CACHED, Cache, Changed, Tables};
use crate::Store;
use crate::error::from_storage;

/// How long to wait after a failure, first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How many items are read in one piece.
const CHUNK: usize = 1_000;

/// Feeds one cache. Runs until it is dropped.
#[derive(Debug)]
pub struct Driver {
    store: Store,
    cache: Cache,
}

impl Driver {
    pub(super) fn new(store: Store, cache: Cache) -> Self {
        Self { store, cache }
    }

    /// Reads everything and follows every change, for ever. After a failure the cache keeps what it has, `as_of`
    /// stands still, and this tries again.
    pub async fn run(self) {
        let mut pause = RETRY.0;
        loop {
            match Box::pin(self.follow()).await {
                Ok(true) => {
                    tracing::debug!("the change stream of the cache was lost, reading anew");
                    pause = RETRY.0;
                    continue;
                }
                Ok(false) => tracing::warn!("the change stream of the cache ends as soon as it begins"),
                Err(error) => tracing::error!(%error, "the cache cannot be refreshed"),
            }
            self.cache.0.clock.sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// One round: ends when changes were lost, and says whether the cache was live before.
    async fn follow(&self) -> Result<bool, Error> {
        let Loaded { mut tables, first, last } = self.load().await?;
        let mut watcher = self.store.backend().watch(&Prefix::all(), Some(first)).await.map_err(from_storage)?;
        loop {
            match watcher.next().await {
                WatchEvent::Batch { cursor, changes } => {
                    apply(&mut tables, cursor, &changes)?;
                }
                WatchEvent::Progress(cursor) if cursor >= last => break,
                WatchEvent::Progress(_) => {}
                WatchEvent::Resync => return Ok(false),
            }
        }
        self.cache.publish(tables.clone(), [Changed::Everything]);
        self.cache.refreshed();
        self.stream(tables, watcher).await?;
        Ok(true)
    }

    async fn stream(&self, mut tables: Tables, mut watcher: Watcher) -> Result<(), Error> {
        loop {
            match watcher.next().await {
                WatchEvent::Batch { cursor, changes } => {
                    let changed = apply(&mut tables, cursor, &changes)?;
                    if !changed.is_empty() {
                        self.cache.publish(tables.clone(), changed);
                    }
                }
                WatchEvent::Progress(_) => self.cache.refreshed(),
                WatchEvent::Resync => return Ok(()),
            }
        }
    }

    /// Reads every cached kind. Each page is a snapshot of its own; what changes meanwhile the stream tells.
    async fn load(&self) -> Result<Loaded, Error> {
        let mut tables = Tables::default();
        let mut span: Option<(Cursor, Cursor)> = None;
        for kind in CACHED {
            let prefix = Prefix::kind(kind.as_str());
            let mut after: Option<Key> = None;
            loop {
                let page = self.store.backend().range(&prefix, after.as_ref(), CHUNK).await.map_err(from_storage)?;
                span = Some((span.map_or(page.cursor, |(first, _)| first), page.cursor));
                for item in &page.items {
                    tables.put(item)?;
                }
                after = page.items.last().map(|item| item.key.clone());
                if !page.more || after.is_none() {
                    break;
                }
            }
        }
        let (first, last) = span.ok_or_else(|| Error::internal("the cache holds no kinds"))?;
        Ok(Loaded { tables, first, last })
    }
}

struct Loaded {
    tables: Tables,
    /// From here on changes may be missing in the tables.
    first: Cursor,
    /// The tables are complete once changes up to here were applied.
    last: Cursor,
}

/// Applies the part of a batch that is cached, and says what it was.
fn apply(tables: &mut Tables, cursor: Cursor, changes: &[storage::Change]) -> Result<Vec<Changed>, Error> {
    let mut changed = Vec::new();
    for change in changes {
        let key = change.key();
        let Some(kind) = Kind::parse(key.kind()).filter(|kind| CACHED.contains(kind)) else { continue };
        match change {
            storage::Change::Put(item) => tables.put(item)?,
            storage::Change::Delete { key } => tables.remove(key, cursor),
        }
        changed.push(Changed::Resource { kind, group: key.sub_kind().to_owned(), name: key.name().to_owned() });
    }
    Ok(changed)
}
