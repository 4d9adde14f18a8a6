//! The change stream within a process: a bounded ring of committed batches, and the watchers that follow it.
//!
//! Every adapter feeds one: SQLite's writer from its commits, one with remote storage from its replication stream.
//! A watcher keeps only its position, so a thousand of them cost no queue, and one that is slow loses its place in
//! the ring and is told so, instead of holding memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use clock::Clock;
use tokio::sync::watch;

use crate::item::{Cursor, Item};
use crate::key::{Key, Prefix};

/// A watcher hears of its progress at least this often, changes or not, and with no more delay than it takes to tell the
/// changes that wait.
pub const PROGRESS_WITHIN: Duration = Duration::from_millis(500);

/// When a progress mark is sent: early enough that scheduling does not break the promise.
const PROGRESS_EVERY: Duration = Duration::from_millis(400);

/// The most batches kept for watchers that are behind, by default.
pub const BACKLOG_BATCHES: usize = 8_192;

/// The most bytes kept for watchers that are behind, by default.
pub const BACKLOG_BYTES: usize = 8 * 1024 * 1024;

/// How many batches a watcher looks through before it lets others at the ring.
const SCAN: usize = 256;

/// What happened to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was stored.
    Put(Item),
    /// It was removed.
    Delete {
        /// Which.
        key: Key,
    },
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(item) => &item.key,
            Self::Delete { key } => key,
        }
    }

    fn size(&self) -> usize {
        self.key().size() + if let Self::Put(item) = self { item.value.len() } else { 0 }
    }
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All changes of one batch that lie under the watched prefix; never a part of them.
    Batch {
        /// The place of the batch; resuming from it goes on with the next.
        cursor: Cursor,
        /// The changes, in the order of the batch.
        changes: Vec<Change>,
    },
    /// Everything up to this cursor has been told, and nothing that is older than a moment is missing. The first one comes as
    /// soon as the watcher has caught up.
    Progress(Cursor),
    /// Changes were lost to this watcher (an old cursor, or it fell too far behind): read anew, watch anew. The last
    /// event of a watcher; asking again repeats it.
    Resync,
}

/// The ring. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    clock: Clock,
    incarnation: u64,
    limits: (usize, usize),
    ring: RwLock<Ring>,
    head: watch::Sender<u64>,
}

struct Ring {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// Watchers at this position or later can be served.
    floor: u64,
    closed: bool,
}

struct Commit {
    position: u64,
    changes: Vec<Change>,
}

impl Feed {
    /// A change stream that stands at `head`; `incarnation` is random, so that cursors of another are recognised.
    pub fn new(clock: Clock, incarnation: u64, head: u64) -> Self {
        Self::with_backlog(clock, incarnation, head, BACKLOG_BATCHES, BACKLOG_BYTES)
    }

    /// The same with limits of its own.
    pub fn with_backlog(clock: Clock, incarnation: u64, head: u64, batches: usize, bytes: usize) -> Self {
        let ring = Ring { commits: VecDeque::new(), bytes: 0, floor: head, closed: false };
        let head = watch::Sender::new(head);
        Self(Arc::new(Shared { clock, incarnation, limits: (batches, bytes), ring: RwLock::new(ring), head }))
    }

    /// The cursor at a position of this stream.
    pub fn cursor(&self, position: u64) -> Cursor {
        Cursor::new(self.0.incarnation, position)
    }

    /// The random number that tells this stream from others.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// The position of the last batch published.
    pub fn head(&self) -> u64 {
        *self.0.head.borrow()
    }

    /// Tells the watchers of one committed batch. Positions grow; `changes` may be empty.
    pub fn publish(&self, position: u64, changes: Vec<Change>) {
        self.publish_all([(position, changes)]);
    }

    /// Tells the watchers of several committed batches, in order, and wakes them once.
    pub fn publish_all(&self, batches: impl IntoIterator<Item = (u64, Vec<Change>)>) {
        let (most_batches, most_bytes) = self.0.limits;
        let mut ring = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        let mut head = None;
        for (position, changes) in batches {
            head = Some(position);
            if changes.is_empty() {
                continue;
            }
            ring.bytes += changes.iter().map(Change::size).sum::<usize>();
            ring.commits.push_back(Arc::new(Commit { position, changes }));
            while ring.commits.len() > most_batches || ring.bytes > most_bytes {
                let Some(oldest) = ring.commits.pop_front() else { break };
                ring.bytes -= oldest.changes.iter().map(Change::size).sum::<usize>();
                ring.floor = oldest.position;
            }
        }
        drop(ring);
        if let Some(head) = head {
            self.0.head.send_replace(head);
        }
    }

    /// Ends the stream: every watcher gets [`WatchEvent::Resync`].
    pub fn close(&self) {
        self.0.ring.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.head.send_modify(|_| {});
    }

    /// Follows the stream from after `cursor`, or from now.
    pub fn watch(&self, prefix: Prefix, cursor: Option<Cursor>) -> Watcher {
        let head = self.0.head.subscribe();
        let foreign = cursor.is_some_and(|cursor| cursor.incarnation() != self.0.incarnation);
        let position = cursor.map_or(*head.borrow(), Cursor::position);
        Watcher { feed: self.clone(), prefix, position, head, progress_due: None, promised: None, lost: foreign }
    }

    /// The first batch after `position` that touches `prefix`.
    fn step(&self, position: u64, prefix: &Prefix) -> Step {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        if ring.closed || position < ring.floor {
            return Step::Behind;
        }
        let from = ring.commits.partition_point(|commit| commit.position <= position);
        let mut last = None;
        for commit in ring.commits.iter().skip(from).take(SCAN) {
            if commit.changes.iter().any(|change| prefix.contains(change.key())) {
                return Step::Found(commit.clone());
            }
            last = Some(commit.position);
        }
        last.map_or(Step::CaughtUp, Step::Skipped)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({:?})", self.cursor(self.head()))
    }
}

enum Step {
    Found(Arc<Commit>),
    Skipped(u64),
    CaughtUp,
    Behind,
}

/// Follows the changes under a prefix.
#[derive(Debug)]
pub struct Watcher {
    feed: Feed,
    prefix: Prefix,
    position: u64,
    head: watch::Receiver<u64>,
    /// When the next progress mark is due; `None`: as soon as the watcher has caught up for the first time.
    progress_due: Option<Duration>,
    /// Where the stream was when the mark that is due now became so: it is given once everything until then was told.
    promised: Option<u64>,
    lost: bool,
}

impl Watcher {
    /// The next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if self.lost {
                return WatchEvent::Resync;
            }
            let now = self.feed.0.clock.monotonic();
            // Read before the ring: a head seen here is in the ring already.
            let head = *self.head.borrow_and_update();
            if self.progress_due.is_some_and(|due| due <= now) && self.position >= *self.promised.get_or_insert(head) {
                return self.progress(now);
            }
            match self.feed.step(self.position, &self.prefix) {
                Step::Found(commit) => return self.told(&commit),
                Step::Skipped(position) => self.position = position,
                Step::Behind => self.lost = true,
                Step::CaughtUp => {
                    self.position = self.position.max(head);
                    let Some(due) = self.progress_due else { return self.progress(now) };
                    tokio::select! {
                        // The sender lives in the feed that this watcher holds.
                        _ = self.head.changed() => {}
                        () = self.feed.0.clock.sleep(due.saturating_sub(now)) => {}
                    }
                }
            }
        }
    }

    fn told(&mut self, commit: &Commit) -> WatchEvent {
        self.position = commit.position;
        let changes = commit.changes.iter().filter(|change| self.prefix.contains(change.key())).cloned().collect();
        WatchEvent::Batch { cursor: self.feed.cursor(commit.position), changes }
    }

    fn progress(&mut self, now: Duration) -> WatchEvent {
        (self.progress_due, self.promised) = (Some(now + PROGRESS_EVERY), None);
        WatchEvent::Progress(self.feed.cursor(self.position))
    }
}
