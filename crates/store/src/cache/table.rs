//! A map that is cheap to copy with one entry changed: readers keep the old one, the writer publishes the new one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use domain::Timestamp;
use storage::Cursor;

/// How many parts a table has; one is copied when an entry changes.
const SHARDS: usize = 64;

/// Resources by name, each with where it was written and until when it counts.
#[derive(Debug)]
pub(crate) struct Table<T> {
    hasher: RandomState,
    shards: [Arc<HashMap<Arc<str>, Entry<T>>>; SHARDS],
}

#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) resource: Arc<T>,
    pub(crate) cursor: Cursor,
    pub(crate) expires: Option<Timestamp>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { resource: self.resource.clone(), ..*self }
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher.clone(), shards: self.shards.clone() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Arc::default()) }
    }
}

impl<T> Table<T> {
    /// The live resource of this name.
    pub(crate) fn get(&self, name: &str, now: Timestamp) -> Option<&Arc<T>> {
        self.shards[self.shard(name)].get(name).filter(|entry| entry.is_live(now)).map(|entry| &entry.resource)
    }

    /// All live resources, in no order.
    pub(crate) fn iter(&self, now: Timestamp) -> impl Iterator<Item = &Arc<T>> {
        let entries = self.shards.iter().flat_map(|shard| shard.values());
        entries.filter(move |entry| entry.is_live(now)).map(|entry| &entry.resource)
    }

    /// Stores an entry unless a later one is there.
    pub(crate) fn put(&mut self, name: &str, entry: Entry<T>) {
        if self.is_newer(name, entry.cursor) {
            let shard = self.shard(name);
            Arc::make_mut(&mut self.shards[shard]).insert(name.into(), entry);
        }
    }

    /// Removes an entry unless it was written later than `cursor`.
    pub(crate) fn remove(&mut self, name: &str, cursor: Cursor) {
        let shard = self.shard(name);
        if self.shards[shard].contains_key(name) && self.is_newer(name, cursor) {
            Arc::make_mut(&mut self.shards[shard]).remove(name);
        }
    }

    fn is_newer(&self, name: &str, cursor: Cursor) -> bool {
        self.shards[self.shard(name)].get(name).is_none_or(|held| cursor > held.cursor)
    }

    fn shard(&self, name: &str) -> usize {
        (self.hasher.hash_one(name) % SHARDS as u64) as usize
    }
}

impl<T> Entry<T> {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}
