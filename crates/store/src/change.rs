//! One atomic change: resources, records, conditions and audit events, durable together or not at all.

use audit::Event;
use bytes::Bytes;
use domain::{Error, Kind, Resource, Stored, Timestamp, error::Reason};
use storage::{Batch, Condition, Cursor, Item, JournalEntry, Key, Revision, Write};

use crate::Store;
use crate::error::{already_exists, conflict, from_storage, not_found, raced};
use crate::keyed::{Keyed, key_of};
use crate::repository::{decode, revision_text};

/// How often something looks again because somebody else wrote what it had read.
const ATTEMPTS: usize = 8;

/// Does something that reads and then changes, again while somebody else is faster.
///
/// # Errors
/// What the attempt says; unavailable when it loses every race.
pub async fn settle<T, F: Future<Output = Result<T, Error>>>(attempt: impl Fn() -> F) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        match attempt().await {
            Err(error) if error.reason == Some(Reason::Raced) => {}
            settled => return settled,
        }
    }
    Err(Error::unavailable("others change the same thing at the same moment; try again").because(Reason::Raced))
}

/// Builds one change. Nothing happens before [`Change::commit`].
///
/// What the change is decided on is read through it: each read is also a condition, so a decision cannot be carried out on
/// anything but what it was made from. A read that is none (`Store::get`) is for what may be out of date by then.
#[must_use = "a change does nothing before it is committed"]
pub struct Change {
    store: Store,
    conditions: Vec<(Condition, Error)>,
    writes: Vec<Pending>,
    journal: Vec<JournalEntry>,
}

/// What a commit gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The revision of everything that the change stored.
    pub revision: String,
    /// Where in the change stream it lies.
    pub cursor: Cursor,
}

impl Receipt {
    /// Writes the new revision into a resource that was part of the change.
    pub fn stamp<T: Resource>(&self, mut resource: T) -> T {
        resource.metadata_mut().revision.clone_from(&self.revision);
        resource
    }
}

/// Writes a resource on top of what is stored now.
type Merge = Box<dyn Fn(Option<&Item>) -> Result<Bytes, Error> + Send + Sync>;

enum Pending {
    Ready(Write),
    /// Must first see what is stored, to keep what this version does not know.
    Merged {
        key: Key,
        name: String,
        kind: Kind,
        expires: Option<Timestamp>,
        expect: Expect,
        merge: Merge,
    },
}

#[derive(Clone, Copy)]
enum Expect {
    Anything,
    Present,
    Revision(Revision),
}

impl Change {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, conditions: Vec::new(), writes: Vec::new(), journal: Vec::new() }
    }

    /// Reads a resource. The change happens only if it is still so then, or still missing; otherwise "conflict", for the
    /// reason [`Reason::Raced`].
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub async fn read<T: Keyed>(&mut self, name: &str) -> Result<Option<T>, Error> {
        self.read_in("", name).await
    }

    /// The same for a kind with groups.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub async fn read_in<T: Keyed>(&mut self, group: &str, name: &str) -> Result<Option<T>, Error> {
        Ok(self.read_stored(group, name).await?.map(|stored| stored.value))
    }

    /// The same for what must be there.
    ///
    /// # Errors
    /// Not found, naming it; otherwise as for [`Store::get`].
    pub async fn fetch<T: Keyed>(&mut self, name: &str) -> Result<T, Error> {
        self.fetch_in("", name).await
    }

    /// The same for a kind with groups.
    ///
    /// # Errors
    /// As for [`Change::fetch`].
    pub async fn fetch_in<T: Keyed>(&mut self, group: &str, name: &str) -> Result<T, Error> {
        self.read_in(group, name).await?.ok_or_else(|| not_found(T::KIND, name))
    }

    /// The same with what a newer version wrote, for [`Change::replace`].
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub async fn read_stored<T: Keyed>(&mut self, group: &str, name: &str) -> Result<Option<Stored<T>>, Error> {
        let item = self.read_or(key_of::<T>(group, name), conflict(T::KIND, name).because(Reason::Raced)).await?;
        item.map(|item| decode(&item)).transpose()
    }

    /// The same for an item that is no resource.
    ///
    /// # Errors
    /// When the back end fails.
    pub async fn read_record(&mut self, key: Key) -> Result<Option<Item>, Error> {
        self.read_or(key, raced()).await
    }

    async fn read_or(&mut self, key: Key, failure: Error) -> Result<Option<Item>, Error> {
        let item = self.store.backend().get(&key).await.map_err(from_storage)?;
        let condition = match &item {
            Some(item) => Condition::Revision(key, item.revision),
            None => Condition::Absent(key),
        };
        self.add_condition(condition, failure);
        Ok(item)
    }

    /// What has been read is not asked for twice.
    fn add_condition(&mut self, condition: Condition, failure: Error) {
        if !self.conditions.iter().any(|(known, _)| *known == condition) {
            self.conditions.push((condition, failure));
        }
    }

    /// Stores a resource that is not there yet; otherwise the commit fails with "already exists".
    ///
    /// # Errors
    /// When the resource cannot be written as a document.
    pub fn create<T: Keyed>(mut self, resource: &T) -> Result<Self, Error> {
        let value = encode(Stored::new(resource.clone()))?;
        let failure = already_exists(T::KIND, resource.name());
        self.add_condition(Condition::Absent(resource.key()), failure);
        self.writes.push(put(resource, value));
        Ok(self)
    }

    /// Replaces a resource that still has the revision that `resource` carries; otherwise the commit fails with
    /// "conflict", or "not found".
    ///
    /// # Errors
    /// Conflict when the revision is none of ours.
    pub fn update<T: Keyed>(self, resource: &T) -> Result<Self, Error> {
        let revision = parse_revision(resource)?;
        Ok(self.merged(resource, Expect::Revision(revision)))
    }

    /// The same for what [`crate::Repository::stored_in`] returned: nothing needs to be read again, so this is the
    /// one for operations that must be fast.
    ///
    /// # Errors
    /// Conflict when the revision is none of ours.
    pub fn replace<T: Keyed>(mut self, stored: Stored<T>) -> Result<Self, Error> {
        let (key, name) = (stored.value.key(), stored.value.name().to_owned());
        let condition = Condition::Revision(key, parse_revision(&stored.value)?);
        self.add_condition(condition, conflict(T::KIND, &name));
        let resource = stored.value.clone();
        self.writes.push(put(&resource, encode(stored)?));
        Ok(self)
    }

    /// Replaces a resource that exists, whatever its revision; otherwise the commit fails with "not found".
    ///
    /// # Errors
    /// None today.
    pub fn overwrite<T: Keyed>(self, resource: &T) -> Result<Self, Error> {
        Ok(self.merged(resource, Expect::Present))
    }

    /// Stores a resource, whether it exists or not; its revision is ignored.
    ///
    /// # Errors
    /// None today.
    pub fn upsert<T: Keyed>(self, resource: &T) -> Result<Self, Error> {
        Ok(self.merged(resource, Expect::Anything))
    }

    /// Removes a resource; the commit fails with "not found" if it is not there.
    pub fn delete<T: Keyed>(self, name: &str) -> Self {
        self.delete_in::<T>("", name)
    }

    /// The same for a kind with groups.
    pub fn delete_in<T: Keyed>(mut self, group: &str, name: &str) -> Self {
        let key = key_of::<T>(group, name);
        self.add_condition(Condition::Exists(key.clone()), not_found(T::KIND, name));
        self.writes.push(Pending::Ready(Write::Delete { key }));
        self
    }

    /// Removes a resource that still has the revision that `resource` carries.
    ///
    /// # Errors
    /// Conflict when the revision is none of ours.
    pub fn delete_exactly<T: Keyed>(mut self, resource: &T) -> Result<Self, Error> {
        let condition = Condition::Revision(resource.key(), parse_revision(resource)?);
        self.add_condition(condition, conflict(T::KIND, resource.name()));
        self.writes.push(Pending::Ready(Write::Delete { key: resource.key() }));
        Ok(self)
    }

    /// Removes a resource if it is there.
    pub fn delete_if_present<T: Keyed>(mut self, group: &str, name: &str) -> Self {
        self.writes.push(Pending::Ready(Write::Delete { key: key_of::<T>(group, name) }));
        self
    }

    /// The change happens only if this resource exists; otherwise "not found".
    pub fn require_exists<T: Keyed>(self, name: &str) -> Self {
        self.require(Condition::Exists(key_of::<T>("", name)), not_found(T::KIND, name))
    }

    /// The change happens only if this resource is still as it was read; otherwise "conflict".
    ///
    /// # Errors
    /// Conflict when the revision is none of ours.
    pub fn require_unchanged<T: Keyed>(self, resource: &T) -> Result<Self, Error> {
        let condition = Condition::Revision(resource.key(), parse_revision(resource)?);
        Ok(self.require(condition, conflict(T::KIND, resource.name())))
    }

    /// The change happens only if `condition` holds; otherwise the commit fails with `failure`.
    pub fn require(mut self, condition: Condition, failure: Error) -> Self {
        self.add_condition(condition, failure);
        self
    }

    /// Stores an item that is no resource, whatever was there; combine with [`Change::require`].
    pub fn put_record(mut self, key: Key, value: impl Into<Bytes>, expires: Option<Timestamp>) -> Self {
        self.writes.push(Pending::Ready(Write::Put { key, value: value.into(), expires }));
        self
    }

    /// Removes an item that is no resource, if it is there.
    pub fn delete_record(mut self, key: Key) -> Self {
        self.writes.push(Pending::Ready(Write::Delete { key }));
        self
    }

    /// The audit event of this change, durable with it.
    pub fn event(mut self, event: &impl Event) -> Self {
        self.journal.push(self.store.recorder().entry(event));
        self
    }

    /// A journal entry that was made elsewhere.
    pub fn journal(mut self, entry: JournalEntry) -> Self {
        self.journal.push(entry);
        self
    }

    /// Makes the change, durably and whole.
    ///
    /// # Errors
    /// What the first condition that does not hold says; unavailable when storage is, or did not confirm.
    pub async fn commit(self) -> Result<Receipt, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Prepared { batch, failures, retriable } = self.prepare().await?;
            match self.store.backend().batch(batch).await {
                Ok(committed) => {
                    let revision = revision_text(committed.revision);
                    return Ok(Receipt { revision, cursor: committed.cursor });
                }
                Err(storage::Error::Condition { index, .. }) => {
                    // A condition that only guards a merge says that another writer came between: look again.
                    let repeat = retriable.get(index).copied().unwrap_or(false) && attempt < ATTEMPTS;
                    if !repeat {
                        let missing = || Error::internal("a condition that nobody asked for failed");
                        return Err(failures.into_iter().nth(index).unwrap_or_else(missing));
                    }
                }
                Err(other) => return Err(from_storage(other)),
            }
        }
    }

    fn merged<T: Keyed>(mut self, resource: &T, expect: Expect) -> Self {
        let value = resource.clone();
        let merge = move |item: Option<&Item>| {
            let mut stored = Stored::new(value.clone());
            if let Some(item) = item {
                stored.extra = decode::<T>(item)?.extra;
            }
            encode(stored)
        };
        self.writes.push(Pending::Merged {
            key: resource.key(),
            name: resource.name().to_owned(),
            kind: T::KIND,
            expires: resource.metadata().expires,
            expect,
            merge: Box::new(merge),
        });
        self
    }

    /// Why something that is to be replaced is not there: somebody removed it since it was read, or it never was.
    fn missing(&self, key: &Key, kind: Kind, name: &str) -> Error {
        let read = self.conditions.iter().find(|(condition, _)| condition.key() == key);
        read.map_or_else(|| not_found(kind, name), |(_, failure)| failure.clone())
    }

    /// Reads what the merges need, and turns everything into one batch.
    async fn prepare(&self) -> Result<Prepared, Error> {
        let mut prepared = Prepared { retriable: vec![false; self.conditions.len()], ..Prepared::default() };
        for (condition, failure) in &self.conditions {
            prepared.batch.conditions.push(condition.clone());
            prepared.failures.push(failure.clone());
        }
        prepared.batch.journal.clone_from(&self.journal);
        for write in &self.writes {
            let Pending::Merged { key, name, kind, expires, expect, merge } = write else {
                let Pending::Ready(write) = write else { continue };
                prepared.batch.writes.push(write.clone());
                continue;
            };
            let item = self.store.backend().get(key).await.map_err(from_storage)?;
            let (condition, retriable) = match (expect, &item) {
                (Expect::Present | Expect::Revision(_), None) => return Err(self.missing(key, *kind, name)),
                (Expect::Revision(wanted), Some(_)) => (Condition::Revision(key.clone(), *wanted), false),
                (_, Some(item)) => (Condition::Revision(key.clone(), item.revision), true),
                (Expect::Anything, None) => (Condition::Absent(key.clone()), true),
            };
            if !prepared.batch.conditions.contains(&condition) {
                prepared.batch.conditions.push(condition);
                prepared.failures.push(conflict(*kind, name));
                prepared.retriable.push(retriable);
            }
            let value = merge(item.as_ref())?;
            prepared.batch.writes.push(Write::Put { key: key.clone(), value, expires: *expires });
        }
        Ok(prepared)
    }
}

#[derive(Default)]
struct Prepared {
    batch: Batch,
    /// What the failure of each condition means.
    failures: Vec<Error>,
    /// Which conditions only say that a merge must be repeated.
    retriable: Vec<bool>,
}

fn put<T: Keyed>(resource: &T, value: Bytes) -> Pending {
    Pending::Ready(Write::Put { key: resource.key(), value, expires: resource.metadata().expires })
}

/// The stored form. The revision is not in it: storage knows it.
fn encode<T: Keyed>(mut stored: Stored<T>) -> Result<Bytes, Error> {
    stored.value.metadata_mut().revision.clear();
    stored.encode().map(Bytes::from)
}

fn parse_revision<T: Keyed>(resource: &T) -> Result<Revision, Error> {
    resource.metadata().revision.parse().map_err(|_| conflict(T::KIND, resource.name()))
}
