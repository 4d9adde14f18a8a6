//! The writer: one thread that gathers the batches which wait, makes them durable in one commit, tells the watchers
//! and then answers.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use clock::Clock;
use storage::feed::Feed;
use storage::{Batch, Committed, JournalPosition, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::FatalHook;
use crate::commit::{Applied, Database};
use crate::error::stopped;
use crate::rows::Head;

/// The most batches in one commit: bounds how long the first of them waits for the others.
const GROUP_BATCHES: usize = 256;

/// The most bytes in one commit.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Moved from the write-ahead log into the database after this many commits, or this many bytes.
const CHECKPOINT: (usize, usize) = (512, 4 * 1024 * 1024);

/// The most commands that wait for the writer: on a disk that hangs, memory must not fill with what will time out.
const WAITING: usize = 8_192;

/// Who waits for an answer, and the place in the queue, which is free again once the command was run.
struct Reply<T> {
    answer: oneshot::Sender<Result<T>>,
    _place: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    fn send(self, result: Result<T>) {
        // Nobody waiting any more is no failure.
        let _ = self.answer.send(result);
    }
}

enum Command {
    Batch { batch: Batch, reply: Reply<Committed> },
    DeleteChunk { bounds: (Vec<u8>, Vec<u8>), reply: Reply<u64> },
    Trim { to: JournalPosition, reply: Reply<u64> },
}

/// The thread, and the queue before it.
pub(crate) struct Writer {
    commands: Option<Sender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
    waiting: Arc<Semaphore>,
}

impl Writer {
    pub(crate) fn start(
        connection: rusqlite::Connection,
        clock: Clock,
        feed: Feed,
        head: Head,
        fatal: FatalHook,
    ) -> io::Result<Self> {
        let (commands, queue) = mpsc::channel();
        let database = Database::new(connection, clock, feed.clone(), head);
        let worker = Worker { database, feed, fatal, failed: None, since_checkpoint: (0, 0) };
        let thread = thread::Builder::new().name("sqlite-write".to_owned()).spawn(move || worker.serve(&queue))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), waiting: Arc::new(Semaphore::new(WAITING)) })
    }

    pub(crate) async fn batch(&self, batch: Batch) -> Result<Committed> {
        self.ask(|reply| Command::Batch { batch, reply }).await
    }

    /// Removes a few of the items within bounds; 0 when there are none left.
    pub(crate) async fn delete_chunk(&self, bounds: (Vec<u8>, Vec<u8>)) -> Result<u64> {
        self.ask(|reply| Command::DeleteChunk { bounds, reply }).await
    }

    /// Moves the mark, then deletes what lies before it, piece by piece, so that batches come in between.
    pub(crate) async fn trim(&self, to: JournalPosition) -> Result<()> {
        while self.ask(|reply| Command::Trim { to, reply }).await? > 0 {}
        Ok(())
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let busy = |_| storage::Error::Unavailable { reason: "too many changes are waiting for the disk".to_owned() };
        let place = self.waiting.clone().try_acquire_owned().map_err(busy)?;
        let (reply, answer) = oneshot::channel();
        let reply = Reply { answer: reply, _place: place };
        self.commands.as_ref().ok_or_else(stopped)?.send(command(reply)).map_err(|_| stopped())?;
        // The writer answers everything it took, unless it panicked: then nobody knows.
        let lost = || storage::Error::OutcomeUnknown { reason: "the writer is gone".to_owned() };
        answer.await.map_err(|_| lost())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was seen by whoever waited for it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

struct Worker {
    database: Database,
    feed: Feed,
    fatal: FatalHook,
    /// Why nothing can be written any more.
    failed: Option<Arc<str>>,
    /// Commits and bytes that only the write-ahead log has.
    since_checkpoint: (usize, usize),
}

impl Worker {
    fn serve(mut self, queue: &Receiver<Command>) {
        while let Ok(first) = queue.recv() {
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Batch { batch, reply } => next = self.group(batch, reply, queue),
                    Command::DeleteChunk { bounds, reply } => {
                        let result = self.single(|database| database.delete_chunk(&bounds));
                        reply.send(result);
                    }
                    Command::Trim { to, reply } => {
                        let result = self.single(|database| database.trim_chunk(to));
                        reply.send(result);
                    }
                }
                self.checkpoint_if_due();
            }
        }
        self.checkpoint();
        self.feed.close();
    }

    /// Commits a batch together with all that wait behind it; returns the first command that is none.
    fn group(&mut self, batch: Batch, reply: Reply<Committed>, queue: &Receiver<Command>) -> Option<Command> {
        let mut bytes = batch.size();
        let (mut batches, mut replies) = (vec![batch], vec![reply]);
        let mut other = None;
        while batches.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
            match queue.try_recv() {
                Ok(Command::Batch { batch, reply }) => {
                    bytes += batch.size();
                    batches.push(batch);
                    replies.push(reply);
                }
                Ok(command) => {
                    other = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        let count = batches.len();
        match self.single(|database| database.apply(batches)) {
            Ok(results) => {
                self.since_checkpoint.1 += bytes;
                for (reply, result) in replies.into_iter().zip(results) {
                    reply.send(result);
                }
            }
            Err(error) => {
                tracing::warn!(batches = count, %error, "a commit was refused");
                for reply in replies {
                    reply.send(Err(error.clone()));
                }
            }
        }
        other
    }

    /// Runs one transaction, and sees to it that nothing is written after one whose outcome is unknown.
    fn single<T>(&mut self, run: impl FnOnce(&mut Database) -> Applied<T>) -> Result<T> {
        if let Some(reason) = &self.failed {
            return Err(storage::Error::Unavailable { reason: reason.to_string() });
        }
        self.since_checkpoint.0 += 1;
        match run(&mut self.database) {
            Applied::Done(value) => Ok(value),
            Applied::Refused(error) => Err(error),
            Applied::Fatal(reason) => {
                self.fail(&reason);
                Err(storage::Error::OutcomeUnknown { reason })
            }
        }
    }

    fn fail(&mut self, reason: &str) {
        tracing::error!(reason, "the database can no longer be written safely");
        self.failed = Some(reason.into());
        self.feed.close();
        (self.fatal)(reason);
    }

    fn checkpoint_if_due(&mut self) {
        let (commits, bytes) = self.since_checkpoint;
        if commits >= CHECKPOINT.0 || bytes >= CHECKPOINT.1 {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        if self.failed.is_some() {
            return;
        }
        self.since_checkpoint = (0, 0);
        if let Err(reason) = self.database.checkpoint() {
            self.fail(&reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use storage::{Error, Prefix, WatchEvent};

    use super::*;
    use crate::{Synchronous, rows, schema};

    #[tokio::test]
    async fn nothing_is_written_after_a_commit_of_unknown_outcome() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let connection = schema::open(&directory.path().join("state.sqlite"), Synchronous::Off).expect("a file");
        let (clock, told) = (Clock::system(), Arc::new(Mutex::new(Vec::new())));
        let feed = Feed::new(clock.clone(), 1, 0);
        let head = rows::head(&connection).expect("a head");
        let database = Database::new(connection, clock, feed.clone(), head);
        let hook = told.clone();
        let fatal: FatalHook = Arc::new(move |reason: &str| hook.lock().expect("a lock").push(reason.to_owned()));
        let mut worker = Worker { database, feed: feed.clone(), fatal, failed: None, since_checkpoint: (0, 0) };
        let failed = worker.single(|_| Applied::<()>::Fatal("fsync failed".to_owned()));
        assert!(matches!(failed, Err(Error::OutcomeUnknown { .. })), "{failed:?}");
        let refused = worker.single(|database| database.apply(vec![Batch::new()]));
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert_eq!(*told.lock().expect("a lock"), ["fsync failed"], "the hook is called once");
        assert_eq!(feed.watch(Prefix::all(), None).next().await, WatchEvent::Resync);
    }
}
