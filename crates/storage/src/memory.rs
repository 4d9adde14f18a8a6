//! A back end in memory, for tests and for trying things out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use clock::Clock;
use crypto::Random;
use jiff::Timestamp;

use crate::batch::{Batch, Committed, Write};
use crate::error::Error;
use crate::feed::{BACKLOG_BATCHES, BACKLOG_BYTES, Change, Feed, Watcher};
use crate::item::{Cursor, Item, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, Page, Revision};
use crate::journal::{JournalPage, JournalPosition, JournalRecord};
use crate::key::{Key, Prefix};
use crate::{Backend, Result};

/// How many items one step of [`Backend::delete_range`] removes.
const DELETE_CHUNK: usize = 256;

/// Everything in memory. Nothing survives the process.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    salt: u64,
    feed: Feed,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<Key, Stored>,
    expiries: BTreeSet<(Timestamp, Key)>,
    position: u64,
    journal: VecDeque<JournalRecord>,
    journal_end: u64,
}

#[derive(Debug)]
struct Stored {
    value: Bytes,
    expires: Option<Timestamp>,
    position: u64,
}

impl Memory {
    /// An empty back end.
    pub fn new(clock: Clock, random: &Random) -> Self {
        Self::with_backlog(clock, random, BACKLOG_BATCHES, BACKLOG_BYTES)
    }

    /// An empty back end that keeps this much for watchers that are behind.
    pub fn with_backlog(clock: Clock, random: &Random, batches: usize, bytes: usize) -> Self {
        let salt = u64::from_be_bytes(random.bytes());
        let feed = Feed::with_backlog(clock.clone(), salt, 0, batches, bytes);
        Self { clock, salt, feed, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn item(&self, key: &Key, stored: &Stored) -> Item {
        Item {
            key: key.clone(),
            value: stored.value.clone(),
            expires: stored.expires,
            revision: self.revision(stored.position),
            cursor: self.feed.cursor(stored.position),
        }
    }

    fn revision(&self, position: u64) -> Revision {
        Revision::new(position, self.salt)
    }

    fn apply(&self, state: &mut State, writes: Vec<Write>) -> u64 {
        state.position += 1;
        let position = state.position;
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            match write {
                Write::Put { key, value, expires } => {
                    let stored = Stored { value, expires, position };
                    changes.push(Change::Put(self.item(&key, &stored)));
                    state.put(key, stored);
                }
                Write::Delete { key } => {
                    if state.remove(&key) {
                        changes.push(Change::Delete { key });
                    }
                }
            }
        }
        // Still under the lock: batches are told in the order in which they were applied.
        self.feed.publish(position, changes);
        position
    }
}

impl State {
    fn put(&mut self, key: Key, stored: Stored) {
        self.remove(&key);
        if let Some(expires) = stored.expires {
            self.expiries.insert((expires, key.clone()));
        }
        self.items.insert(key, stored);
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(old) = self.items.remove(key) else { return false };
        if let Some(expires) = old.expires {
            self.expiries.remove(&(expires, key.clone()));
        }
        true
    }
}

fn is_live(stored: &Stored, now: Timestamp) -> bool {
    stored.expires.is_none_or(|expires| expires > now)
}

#[async_trait]
impl Backend for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let now = self.clock.now();
        let state = self.state();
        Ok(state.items.get(key).filter(|stored| is_live(stored, now)).map(|stored| self.item(key, stored)))
    }

    async fn range(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, MAX_PAGE_ITEMS);
        let now = self.clock.now();
        let state = self.state();
        let start = match after {
            Some(after) if *after >= prefix.first() => Bound::Excluded(after.clone()),
            _ => Bound::Included(prefix.first()),
        };
        let mut page = Page { items: Vec::new(), cursor: self.feed.cursor(state.position), more: false };
        let mut bytes = 0;
        let run = state.items.range((start, Bound::Unbounded)).take_while(|(key, _)| prefix.contains(key));
        for (key, stored) in run.filter(|(_, stored)| is_live(stored, now)) {
            if page.items.len() == limit || bytes > MAX_PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += stored.value.len();
            page.items.push(self.item(key, stored));
        }
        Ok(page)
    }

    async fn batch(&self, batch: Batch) -> Result<Committed> {
        batch.check()?;
        let mut state = self.state();
        // Read under the lock, so that time does not pass between the check and the change.
        let now = self.clock.now();
        for (index, condition) in batch.conditions.iter().enumerate() {
            let stored = state.items.get(condition.key());
            let stored = stored.map(|stored| (self.revision(stored.position), stored.expires));
            if !condition.holds(stored, now) {
                return Err(Error::Condition { index, key: condition.key().clone() });
            }
        }
        let position = self.apply(&mut state, batch.writes);
        for entry in batch.journal {
            state.journal_end += 1;
            let position = JournalPosition(state.journal_end);
            state.journal.push_back(JournalRecord { position, entry });
        }
        Ok(Committed { cursor: self.feed.cursor(position), revision: self.revision(position) })
    }

    async fn delete_range(&self, prefix: &Prefix) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let mut state = self.state();
            let run = state.items.range(prefix.first()..).take_while(|(key, _)| prefix.contains(key));
            let chunk: Vec<_> = run.take(DELETE_CHUNK).map(|(key, _)| Write::Delete { key: key.clone() }).collect();
            if chunk.is_empty() {
                return Ok(deleted);
            }
            deleted += chunk.len() as u64;
            self.apply(&mut state, chunk);
        }
    }

    async fn watch(&self, prefix: &Prefix, cursor: Option<Cursor>) -> Result<Watcher> {
        Ok(self.feed.watch(prefix.clone(), cursor))
    }

    async fn expired(&self, limit: usize) -> Result<Vec<Item>> {
        let now = self.clock.now();
        let state = self.state();
        let due = state.expiries.iter().take_while(|(expires, _)| *expires <= now).take(limit.min(MAX_PAGE_ITEMS));
        Ok(due.filter_map(|(_, key)| state.items.get(key).map(|stored| self.item(key, stored))).collect())
    }

    async fn journal_read(&self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage> {
        let state = self.state();
        let from = after.map_or(0, |after| state.journal.partition_point(|record| record.position <= after));
        let limit = limit.clamp(1, MAX_PAGE_ITEMS);
        let (mut records, mut bytes) = (Vec::new(), 0);
        for record in state.journal.iter().skip(from).take(limit) {
            if bytes > MAX_PAGE_BYTES {
                break;
            }
            bytes += record.entry.value.len();
            records.push(record.clone());
        }
        let more = from + records.len() < state.journal.len();
        Ok(JournalPage { records, more })
    }

    async fn journal_trim(&self, to: JournalPosition) -> Result<()> {
        let mut state = self.state();
        let gone = state.journal.partition_point(|record| record.position <= to);
        state.journal.drain(..gone);
        Ok(())
    }

    fn volatile(&self) -> Option<&'static str> {
        Some("storage is in memory: nothing survives the end of this process")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_the_promises_of_the_port() {
        crate::conformance::run(|clock, random| Arc::new(Memory::new(clock, &random))).await;
    }
}
