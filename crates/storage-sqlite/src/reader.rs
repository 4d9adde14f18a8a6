//! The readers: a few threads with a connection each, so that a slow disk never blocks the runtime.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use clock::Timestamp;
use rusqlite::{Connection, params};
use storage::{
    Cursor, Error, Item, JournalEntry, JournalPage, JournalPosition, JournalRecord, MAX_PAGE_BYTES, MAX_PAGE_ITEMS,
    Page, Result,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::{OpenError, refused, stopped};
use crate::{rows, schema};

// Each finds its rows by one index, in its order; a test asks SQLite whether it does.
const GET: &str = "SELECT key, value, expires, position, salt FROM items
    WHERE key = ?1 AND (expires IS NULL OR expires > ?2)";

const RANGE: &str = "SELECT key, value, expires, position, salt FROM items
    WHERE key >= ?1 AND key < ?2 AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4";

const EXPIRED: &str = "SELECT key, value, expires, position, salt FROM items
    WHERE expires <= ?1 ORDER BY expires LIMIT ?2";

const JOURNAL: &str = "SELECT position, id, time, value FROM journal
    WHERE position > max(?1, (SELECT trimmed FROM head)) ORDER BY position LIMIT ?2";

/// The most reads that wait for a reader: on a disk that hangs, memory must not fill with what will time out.
const WAITING: usize = 8_192;

type Job = Box<dyn FnOnce(&mut Reader) + Send>;

/// The threads, and the queue before them.
pub(crate) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(path: &Path, count: usize, incarnation: u64) -> std::result::Result<Self, OpenError> {
        // From here on whatever fails ends the threads that were started.
        let mut readers = Self { queue: Arc::default(), threads: Vec::new() };
        for number in 0..count.max(1) {
            let connection = schema::open_reader(path).map_err(|source| OpenError::sqlite(path, source))?;
            let (mut reader, place) = (Reader { connection, incarnation }, Place::take(&readers.queue));
            let thread = thread::Builder::new().name(format!("sqlite-read-{number}"));
            let serve = move || {
                while let Some(job) = place.0.next() {
                    job(&mut reader);
                }
            };
            readers.threads.push(thread.spawn(serve).map_err(|source| OpenError::io(path, source))?);
        }
        Ok(readers)
    }

    /// Runs `job` on the next free reader.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel::<Result<T>>();
        self.queue.push(Box::new(move |reader| {
            // Nobody waiting any more is no failure, and no reason to read.
            if !reply.is_closed() {
                let _ = reply.send(job(reader));
            }
        }))?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of a reader was seen by whoever asked it.
            let _ = thread.join();
        }
    }
}

/// Jobs that wait for a reader. Each wakes one reader; behind a channel with a lock, the reader that takes a job also wakes
/// the one that waits in its place.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    readers: usize,
    is_closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<()> {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(stopped());
        }
        if waiting.jobs.len() >= WAITING {
            return Err(Error::Unavailable { reason: "too many reads are waiting for the disk".to_owned() });
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a job; nothing when all are done and there will be no other.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.waiting();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.waiting().is_closed = true;
        self.changed.notify_all();
    }
}

/// A thread's place at the queue: when the last one goes, also by a panic, no job is left waiting for nobody.
struct Place(Arc<Queue>);

impl Place {
    fn take(queue: &Arc<Queue>) -> Self {
        queue.waiting().readers += 1;
        Self(Arc::clone(queue))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.readers -= 1;
        if waiting.readers == 0 {
            waiting.is_closed = true;
            waiting.jobs.clear();
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({})", self.threads.len())
    }
}

/// One connection.
pub(crate) struct Reader {
    connection: Connection,
    incarnation: u64,
}

impl Reader {
    pub(crate) fn get(&mut self, key: &[u8], now: Timestamp) -> Result<Option<Item>> {
        let mut items = self.items(GET, params![key, now.as_microsecond()], usize::MAX)?;
        Ok(items.pop())
    }

    pub(crate) fn range(&mut self, start: &[u8], end: &[u8], now: Timestamp, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, MAX_PAGE_ITEMS);
        // One transaction, so that the items and the cursor are of the same snapshot.
        let transaction = Transaction::begin(&self.connection)?;
        let position = rows::head(&self.connection).map_err(|error| refused(&error))?.position;
        // One more than asked for tells whether there are more.
        let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut items = self.items(RANGE, params![start, end, now.as_microsecond(), wanted], MAX_PAGE_BYTES)?;
        drop(transaction);
        let cut = items.cut || items.len() > limit;
        items.truncate(limit);
        Ok(Page { items: items.items, cursor: Cursor::new(self.incarnation, position), more: cut })
    }

    pub(crate) fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Item>> {
        let limit = i64::try_from(limit.min(MAX_PAGE_ITEMS)).unwrap_or(i64::MAX);
        Ok(self.items(EXPIRED, params![now.as_microsecond(), limit], MAX_PAGE_BYTES)?.items)
    }

    pub(crate) fn journal(&mut self, after: Option<JournalPosition>, limit: usize) -> Result<JournalPage> {
        let limit = limit.clamp(1, MAX_PAGE_ITEMS);
        let after = after.map_or(0, |JournalPosition(after)| i64::try_from(after).unwrap_or(i64::MAX));
        let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let JournalPage { mut records, more } = self.records(JOURNAL, params![after, wanted])?;
        let more = more || records.len() > limit;
        records.truncate(limit);
        Ok(JournalPage { records, more })
    }

    fn records(&self, sql: &str, params: impl rusqlite::Params) -> Result<JournalPage> {
        let failed = |error| refused(&error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut found = statement.query(params).map_err(failed)?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next().map_err(failed)? {
            if bytes > MAX_PAGE_BYTES {
                return Ok(JournalPage { records, more: true });
            }
            let position = JournalPosition(row.get::<_, i64>(0).map_err(failed)?.cast_unsigned());
            let id = row.get::<_, [u8; 16]>(1).map_err(failed)?;
            let time = rows::time(row.get(2).map_err(failed)?)?;
            let value = Bytes::from(row.get::<_, Vec<u8>>(3).map_err(failed)?);
            bytes += value.len();
            records.push(JournalRecord { position, entry: JournalEntry { id: Uuid::from_bytes(id), time, value } });
        }
        Ok(JournalPage { records, more: false })
    }

    fn items(&self, sql: &str, params: impl rusqlite::Params, bytes: usize) -> Result<Found> {
        let failed = |error| refused(&error);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let mut found = Found { items: Vec::new(), cut: false };
        let mut size = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            if size > bytes {
                found.cut = true;
                break;
            }
            let item = rows::item(row, self.incarnation)?;
            size += item.value.len();
            found.items.push(item);
        }
        Ok(found)
    }
}

/// Items, and whether the limit of bytes kept some away.
struct Found {
    items: Vec<Item>,
    cut: bool,
}

impl std::ops::Deref for Found {
    type Target = Vec<Item>;

    fn deref(&self) -> &Vec<Item> {
        &self.items
    }
}

impl std::ops::DerefMut for Found {
    fn deref_mut(&mut self) -> &mut Vec<Item> {
        &mut self.items
    }
}

/// A read transaction that ends when it goes out of scope.
struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection) -> Result<Self> {
        let mut begin = connection.prepare_cached("BEGIN").map_err(|error| refused(&error))?;
        begin.execute([]).map_err(|error| refused(&error))?;
        Ok(Self(connection))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // It has only read: if this fails, the next statement says why.
        let _ = self.0.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::Synchronous;

    #[tokio::test]
    async fn a_job_is_refused_when_the_last_reader_has_panicked() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.sqlite");
        drop(schema::open(&path, Synchronous::Off).expect("a file"));
        let readers = Readers::start(&path, 2, 1).expect("readers");
        for _ in 0..2 {
            readers.run::<()>(|_| panic!("a defect")).await.expect_err("its owner sees it");
        }
        let late = clock::Clock::system().timeout(std::time::Duration::from_secs(60), readers.run(|_| Ok(()))).await;
        late.expect("an answer").expect_err("nobody reads");
    }

    fn polled<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn reads_behind_a_disk_that_hangs_are_bounded_and_given_up_ones_are_not_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.sqlite");
        drop(schema::open(&path, Synchronous::Off).expect("a file"));
        let readers = Readers::start(&path, 1, 1).expect("readers");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (taken, is_taken) = oneshot::channel();
        let mut first = Box::pin(readers.run(move |_| {
            let _ = taken.send(());
            held.recv().map_err(|_| stopped())
        }));
        assert!(polled(first.as_mut()).is_none());
        is_taken.await.expect("the reader hangs");
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = || {
            let made = Arc::clone(&made);
            readers.run(move |_| Ok(made.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
        };
        for _ in 0..WAITING {
            assert!(polled(pin!(count())).is_none(), "it waits, and its caller gives up");
        }
        let refused = polled(pin!(count())).expect("at once");
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        release.send(()).expect("the disk answers again");
        first.await.expect("read");
        assert_eq!(count().await, Ok(0), "nobody waited for the others");
    }

    #[test]
    fn no_read_grows_with_the_number_of_items() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let connection = schema::open(&directory.path().join("state.sqlite"), Synchronous::Off).expect("a file");
        for (sql, count, index) in [
            (GET, 2, "items USING INDEX sqlite_autoindex_items_1 (key=?)"),
            (RANGE, 4, "items USING INDEX sqlite_autoindex_items_1 (key>? AND key<?)"),
            (EXPIRED, 2, "items USING INDEX items_expires (expires<?)"),
            (JOURNAL, 2, "journal USING INTEGER PRIMARY KEY (rowid>?)"),
        ] {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("valid SQL");
            let plan = explain.query_map(rusqlite::params_from_iter(vec![0; count]), |row| row.get::<_, String>(3));
            let plan: Vec<String> = plan.and_then(Iterator::collect).expect("a plan");
            assert_eq!(plan.first().map(String::as_str), Some(format!("SEARCH {index}").as_str()), "{plan:?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE") || step.contains("SCAN items")), "{plan:?}");
        }
    }
}
