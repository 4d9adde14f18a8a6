//! What happens within one transaction of the writer.

use clock::{Clock, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use storage::feed::Feed;
use storage::{
    Batch, Change, Committed, Condition, Error, Item, JournalEntry, JournalPosition, Key, Result, Revision, Write,
};

use crate::error::{is_fatal, refused};
use crate::rows::{self, Head};

/// How many rows one step of a large deletion removes.
const CHUNK: i64 = 256;

/// How a transaction ended.
pub(crate) enum Applied<T> {
    /// It is durable.
    Done(T),
    /// Nothing of it was written.
    Refused(Error),
    /// Nobody knows, and the file must not be written again by this process.
    Fatal(String),
}

/// The writer's connection, and what it knows without asking.
pub(crate) struct Database {
    connection: Connection,
    clock: Clock,
    feed: Feed,
    head: Head,
}

/// What one transaction tells the watchers, once it is durable.
type Told = Vec<(u64, Vec<Change>)>;

impl Database {
    pub(crate) fn new(connection: Connection, clock: Clock, feed: Feed, head: Head) -> Self {
        Self { connection, clock, feed, head }
    }

    /// Applies batches in order, each whole or not at all, durable together.
    pub(crate) fn apply(&mut self, batches: Vec<Batch>) -> Applied<Vec<Result<Committed>>> {
        self.transaction(|database, head, told| {
            // One look at the clock for all: they are one instant.
            let now = database.clock.now();
            batches.into_iter().map(|batch| database.batch(batch, now, head, told)).collect()
        })
    }

    /// Removes some items within bounds.
    pub(crate) fn delete_chunk(&mut self, (start, end): &(Vec<u8>, Vec<u8>)) -> Applied<u64> {
        self.transaction(|database, head, told| {
            let mut statement = database.connection.prepare_cached(
                "DELETE FROM items WHERE id IN (SELECT id FROM items WHERE key >= ?1 AND key < ?2 LIMIT ?3)
                 RETURNING key",
            )?;
            let keys = statement.query_map(params![start, end, CHUNK], |row| row.get::<_, Vec<u8>>(0))?;
            let mut changes = Vec::new();
            for key in keys {
                changes.extend(Key::decode(&key?).map(|key| Change::Delete { key }));
            }
            let deleted = changes.len() as u64;
            if deleted > 0 {
                head.position += 1;
                told.push((head.position, changes));
            }
            Ok(deleted)
        })
    }

    /// Moves the mark below which the journal is not read, and deletes some of what lies there.
    pub(crate) fn trim_chunk(&mut self, JournalPosition(to): JournalPosition) -> Applied<u64> {
        self.transaction(|database, head, _| {
            let to = to.min(head.journal).cast_signed();
            let mut mark = database.connection.prepare_cached("UPDATE head SET trimmed = max(trimmed, ?1)")?;
            mark.execute([to])?;
            let mut delete = database.connection.prepare_cached(
                "DELETE FROM journal WHERE position IN
                 (SELECT position FROM journal WHERE position <= ?1 ORDER BY position LIMIT ?2)",
            )?;
            Ok(delete.execute(params![to, CHUNK])? as u64)
        })
    }

    /// Moves what the write-ahead log holds into the database, as far as readers allow.
    ///
    /// # Errors
    /// Only when the file can no longer be trusted; a full disk is tried again later.
    pub(crate) fn checkpoint(&mut self) -> std::result::Result<(), String> {
        match self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            Ok(()) => Ok(()),
            Err(error) if is_fatal(&error, false) => Err(format!("checkpoint: {error}")),
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be emptied; trying again later");
                Ok(())
            }
        }
    }

    fn transaction<T>(&mut self, run: impl FnOnce(&Self, &mut Head, &mut Told) -> rusqlite::Result<T>) -> Applied<T> {
        let (mut head, mut told) = (self.head, Told::new());
        let outcome = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            let value = run(self, &mut head, &mut told)?;
            if head != self.head {
                let mut save = self.connection.prepare_cached("UPDATE head SET position = ?1, journal = ?2")?;
                save.execute(params![head.position.cast_signed(), head.journal.cast_signed()])?;
            }
            Ok(value)
        });
        let value = match outcome {
            Ok(value) => value,
            Err(error) => return self.rolled_back(&error, false),
        };
        if let Err(error) = self.execute("COMMIT") {
            return self.rolled_back(&error, true);
        }
        self.head = head;
        self.feed.publish_all(told);
        Applied::Done(value)
    }

    fn rolled_back<T>(&self, error: &rusqlite::Error, committing: bool) -> Applied<T> {
        if is_fatal(error, committing) {
            return Applied::Fatal(error.to_string());
        }
        if !self.connection.is_autocommit()
            && let Err(stuck) = self.execute("ROLLBACK")
        {
            return Applied::Fatal(format!("{error}, and it could not be undone: {stuck}"));
        }
        Applied::Refused(refused(error))
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// One batch within a transaction: an outer error undoes the whole transaction, an inner one only says that a
    /// condition did not hold, before anything was written.
    fn batch(
        &self,
        batch: Batch,
        now: Timestamp,
        head: &mut Head,
        told: &mut Told,
    ) -> rusqlite::Result<Result<Committed>> {
        for (index, condition) in batch.conditions.iter().enumerate() {
            if !self.holds(condition, now)? {
                return Ok(Err(Error::Condition { index, key: condition.key().clone() }));
            }
        }
        let salt = self.feed.incarnation();
        if !batch.writes.is_empty() {
            head.position += 1;
            let mut changes = Vec::with_capacity(batch.writes.len());
            for write in batch.writes {
                changes.extend(self.write(write, head.position, salt)?);
            }
            told.push((head.position, changes));
        }
        for entry in batch.journal {
            head.journal += 1;
            self.journal(&entry, head.journal)?;
        }
        let revision = Revision::new(head.position, salt);
        Ok(Ok(Committed { cursor: self.feed.cursor(head.position), revision }))
    }

    fn holds(&self, condition: &Condition, now: Timestamp) -> rusqlite::Result<bool> {
        let mut find = self.connection.prepare_cached("SELECT position, salt, expires FROM items WHERE key = ?1")?;
        let key = condition.key().encode();
        let stored = find
            .query_row([key], |row| {
                let revision =
                    Revision::new(row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned());
                Ok((revision, row.get::<_, Option<i64>>(2)?))
            })
            .optional()?;
        // A time that cannot be read is taken as the end of time: reading the item will say that it is corrupt.
        let time = |micros| rows::time(micros).unwrap_or(Timestamp::MAX);
        Ok(condition.holds(stored.map(|(revision, expires)| (revision, expires.map(time))), now))
    }

    fn write(&self, write: Write, position: u64, salt: u64) -> rusqlite::Result<Option<Change>> {
        match write {
            Write::Put { key, value, expires } => {
                let mut put = self.connection.prepare_cached(
                    "INSERT INTO items (key, value, expires, position, salt) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (key) DO UPDATE SET value = ?2, expires = ?3, position = ?4, salt = ?5",
                )?;
                let micros = expires.map(Timestamp::as_microsecond);
                put.execute(params![key.encode(), &value[..], micros, position.cast_signed(), salt.cast_signed()])?;
                let (revision, cursor) = (Revision::new(position, salt), self.feed.cursor(position));
                Ok(Some(Change::Put(Item { key, value, expires, revision, cursor })))
            }
            Write::Delete { key } => {
                let mut delete = self.connection.prepare_cached("DELETE FROM items WHERE key = ?1")?;
                let deleted = delete.execute([key.encode()])?;
                Ok((deleted > 0).then_some(Change::Delete { key }))
            }
        }
    }

    fn journal(&self, entry: &JournalEntry, position: u64) -> rusqlite::Result<()> {
        let mut append = self
            .connection
            .prepare_cached("INSERT INTO journal (position, id, time, value) VALUES (?1, ?2, ?3, ?4)")?;
        let (id, time) = (entry.id.as_bytes(), entry.time.as_microsecond());
        append.execute(params![position.cast_signed(), id, time, &entry.value[..]]).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Synchronous, schema};

    fn put(name: &str) -> Vec<Batch> {
        vec![Batch::new().put(Key::new("thing", name.to_owned()), vec![7; 100_000], None)]
    }

    #[test]
    fn a_full_disk_is_unavailable_until_there_is_room() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let connection = schema::open(&directory.path().join("state.sqlite"), Synchronous::Off).expect("a file");
        let limit = |pages: i64| format!("PRAGMA max_page_count = {pages}");
        connection.query_row(&limit(100), [], |_| Ok(())).expect("a limit");
        let clock = Clock::system();
        let head = rows::head(&connection).expect("a head");
        let mut database = Database::new(connection, clock.clone(), Feed::new(clock, 1, 0), head);
        let mut stored = 0;
        let refused = loop {
            match database.apply(put(&format!("{stored}"))) {
                Applied::Done(_) => stored += 1,
                Applied::Refused(error) => break error,
                Applied::Fatal(reason) => panic!("{reason}"),
            }
        };
        assert_eq!(refused, Error::Unavailable { reason: "the disk is full".to_owned() });
        assert_eq!(database.head.position, stored, "what was refused left nothing");
        database.connection.query_row(&limit(10_000), [], |_| Ok(())).expect("a limit");
        let Applied::Done(results) = database.apply(put("late")) else { panic!("there is room") };
        assert!(results.into_iter().all(|result| result.is_ok()));
        let count = database.connection.query_row("SELECT count(*) FROM items", [], |row| row.get::<_, i64>(0));
        assert_eq!(count.expect("a count").cast_unsigned(), stored + 1);
    }
}
