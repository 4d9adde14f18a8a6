//! Failed joins of callers whom nobody knows: counted and merged, and written off the commit path, so that a stranger
//! can fill neither the disk nor the commit queue.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::{Clock, Timestamp};
use storage::{Backend, Batch, JournalEntry};
use tokio_util::sync::CancellationToken;

use crate::{
    ConnectionMetadata, Recorder, Status,
    events::join::{BotJoin, InstanceJoin},
};

/// How long like failures are merged before they are written.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// How many different failures are kept apart between two flushes; the rest is counted together.
const KEPT_APART: usize = 256;
/// How many records go into one commit.
const PER_COMMIT: usize = 32;
/// The address under which failures are counted that are not kept apart.
const OTHERS: &str = "others";
/// What stands for a bot or a method that nobody knows.
const UNKNOWN: &str = "unknown";

/// Who tried to join, as far as the request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Joiner {
    /// A bot, or nobody can say.
    Bot,
    /// An agent.
    Instance,
}

/// Merges failed joins. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct FailedJoins {
    recorder: Recorder,
    pending: Arc<Mutex<HashMap<Like, Count>>>,
}

/// What makes two failures alike. Method and reason are words of ours: nothing that a stranger chose is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Like {
    joiner: Joiner,
    source: Option<IpAddr>,
    method: &'static str,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    attempts: u64,
    first: Timestamp,
}

impl FailedJoins {
    /// Nothing counted yet.
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder, pending: Arc::default() }
    }

    /// Counts a failure. `method` is the join method's name when it is one of ours, `reason` one of a closed list.
    pub fn note(&self, joiner: Joiner, source: IpAddr, method: Option<&'static str>, reason: &'static str) {
        let first = self.recorder.clock().now();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut like = Like { joiner, source: Some(source), method: method.unwrap_or(UNKNOWN), reason };
        if pending.len() >= KEPT_APART && !pending.contains_key(&like) {
            like.source = None;
        }
        pending.entry(like).or_insert(Count { attempts: 0, first }).attempts += 1;
    }

    /// Takes out everything counted, as journal entries.
    pub fn drain(&self) -> Vec<JournalEntry> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let mut pending: Vec<_> = pending.into_iter().collect();
        pending.sort_by_key(|(_, count)| count.first);
        pending.into_iter().map(|(like, count)| self.entry(&like, count)).collect()
    }

    /// Writes what was counted, now and then, until `stop`, and once more then.
    pub async fn run(self, backend: Arc<dyn Backend>, clock: Clock, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = clock.sleep(FLUSH_EVERY) => false,
                () = stop.cancelled() => true,
            };
            for entries in self.drain().chunks(PER_COMMIT) {
                let batch = Batch { journal: entries.to_vec(), ..Batch::new() };
                if let Err(error) = backend.batch(batch).await {
                    tracing::error!(%error, lost = entries.len(), "failed joins could not be audited");
                }
            }
            if stopping {
                return;
            }
        }
    }

    fn entry(&self, like: &Like, count: Count) -> JournalEntry {
        let status = Status::failed(like.reason);
        let source = like.source.map_or_else(|| OTHERS.to_owned(), |source| source.to_string());
        let connection = ConnectionMetadata::from_remote(source);
        let first_attempt = (count.attempts > 1).then_some(count.first);
        let (method, attempts) = (like.method.to_owned(), count.attempts);
        match like.joiner {
            Joiner::Bot => {
                let bot_name = UNKNOWN.to_owned();
                let event =
                    BotJoin { status, connection, bot_name, method, attempts, first_attempt, ..Default::default() };
                self.recorder.entry(&event)
            }
            Joiner::Instance => {
                let event = InstanceJoin { status, connection, method, attempts, first_attempt, ..Default::default() };
                self.recorder.entry(&event)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clock::ManualClock;
    use crypto::Random;

    use super::*;
    use crate::Entry;

    #[test]
    fn a_flood_becomes_a_bounded_number_of_records_and_no_attempt_is_lost() {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let joins = FailedJoins::new(Recorder::new("example", clock.clock(), Random::seeded(1)));
        for number in 0..100_000u32 {
            let source = std::net::Ipv4Addr::from_bits(number % 1000);
            joins.note(Joiner::Bot, source.into(), Some("token"), "token expired or not found");
        }
        let entries = joins.drain();
        assert_eq!(entries.len(), KEPT_APART + 1);
        let attempts: u64 = entries
            .iter()
            .map(|entry| Entry::read(entry.value.clone()).unwrap().value().unwrap()["attempts"].as_u64().unwrap())
            .sum();
        assert_eq!(attempts, 100_000);
        assert!(joins.drain().is_empty());
    }
}
