//! Failed joins of callers whom nobody knows: counted and merged, and written off the commit path, so that a stranger
//! can fill neither the disk nor the commit queue.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
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
/// The reason of those.
const MANY: &str = "too many different failures to tell them apart";
/// How much of a reason is kept: ours are shorter.
const REASON_LENGTH: usize = 200;
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

/// What makes two failures alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Like {
    joiner: Joiner,
    source: String,
    method: String,
    reason: String,
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

    /// Counts the failed join of a bot, or of somebody who did not say. `remote` is an address, with or without port.
    pub fn note(&self, remote: &str, method: &str, reason: &str) {
        self.note_as(Joiner::Bot, remote, method, reason);
    }

    /// Counts a failed join.
    pub fn note_as(&self, joiner: Joiner, remote: &str, method: &str, reason: &str) {
        let first = self.recorder.clock().now();
        let (source, method) = (source(remote), method_name(method));
        let reason = reason.chars().take(REASON_LENGTH).collect();
        self.add(Like { joiner, source, method, reason }, Count { attempts: 1, first });
    }

    fn add(&self, mut like: Like, count: Count) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= KEPT_APART && !pending.contains_key(&like) {
            // Everything that a stranger can vary is given up, or this would not be a bound.
            like = Like { source: OTHERS.into(), method: UNKNOWN.into(), reason: MANY.into(), ..like };
        }
        let known = pending.entry(like).or_insert(Count { attempts: 0, ..count });
        known.attempts += count.attempts;
        known.first = known.first.min(count.first);
    }

    /// Takes out everything counted.
    fn take(&self) -> Vec<(Like, Count)> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let mut pending: Vec<_> = pending.into_iter().collect();
        pending.sort_by_key(|(_, count)| count.first);
        pending
    }

    /// Writes what was counted, now and then, until `stop`, and once more then.
    pub async fn run(self, backend: Arc<dyn Backend>, clock: Clock, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = clock.sleep(FLUSH_EVERY) => false,
                () = stop.cancelled() => true,
            };
            self.flush(&*backend, stopping).await;
            if stopping {
                return;
            }
        }
    }

    /// Writes what was counted. What the store does not take now, because its disk is full, is counted on.
    async fn flush(&self, backend: &dyn Backend, is_last: bool) {
        for some in self.take().chunks(PER_COMMIT) {
            let journal = some.iter().map(|(like, count)| self.entry(like, *count)).collect();
            match backend.batch(Batch { journal, ..Batch::new() }).await {
                Ok(_) => {}
                Err(error @ storage::Error::Unavailable { .. }) if !is_last => {
                    tracing::warn!(%error, waiting = some.len(), "failed joins could not be audited yet");
                    some.iter().for_each(|(like, count)| self.add(like.clone(), *count));
                }
                Err(error) => tracing::error!(%error, lost = some.len(), "failed joins could not be audited"),
            }
        }
    }

    fn entry(&self, like: &Like, count: Count) -> JournalEntry {
        let status = Status::failed(&like.reason);
        let connection = ConnectionMetadata::from_remote(like.source.clone());
        let first_attempt = (count.attempts > 1).then_some(count.first);
        let (method, attempts) = (like.method.clone(), count.attempts);
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

/// The address without its port, which differs in each attempt.
fn source(remote: &str) -> String {
    let address = remote.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| remote.parse::<IpAddr>());
    address.map_or_else(|_| UNKNOWN.to_owned(), |address| address.to_canonical().to_string())
}

/// The method if it looks like the name of one; strangers may have sent anything.
fn method_name(method: &str) -> String {
    let is_name = (1..=32).contains(&method.len())
        && method.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_');
    if is_name { method.to_owned() } else { UNKNOWN.to_owned() }
}

#[cfg(test)]
mod tests {
    use clock::ManualClock;
    use crypto::Random;
    use storage::{
        fault::{Fault, Faulty},
        memory::Memory,
    };

    use super::*;
    use crate::Entry;

    #[test]
    fn a_flood_becomes_a_bounded_number_of_records_and_no_attempt_is_lost() {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let joins = FailedJoins::new(Recorder::new("example", clock.clock(), Random::seeded(1)));
        for number in 0..100_000u32 {
            let remote = format!("{}:{}", std::net::Ipv4Addr::from_bits(number % 1000), number % 60_000 + 1);
            joins.note(&remote, &format!("method_{number}"), &"x".repeat(number as usize % 500));
        }
        let entries = drain(&joins);
        assert_eq!(entries.len(), KEPT_APART + 1);
        assert_eq!(attempts(&entries), 100_000);
        assert!(entries.iter().all(|entry| entry.value.len() < 1000));
        assert!(drain(&joins).is_empty());
    }

    #[tokio::test]
    async fn a_full_disk_loses_no_attempt() {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let random = Random::seeded(1);
        let joins = FailedJoins::new(Recorder::new("example", clock.clock(), random.clone()));
        let store = Arc::new(Memory::new(clock.clock(), &random));
        let full = Faulty::new(Arc::clone(&store) as Arc<dyn Backend>, |_| Fault::Unavailable);
        let first = clock.clock().now();
        joins.note("0.0.0.0", "token", "unknown");
        clock.advance(FLUSH_EVERY);
        for _ in 0..3 {
            for number in 0..400u32 {
                joins.note(&std::net::Ipv4Addr::from_bits(number).to_string(), "token", "unknown");
            }
            joins.flush(&full, false).await;
        }
        joins.flush(&*store, false).await;
        let page = store.journal_read(None, 1000).await.unwrap();
        let entries: Vec<_> = page.records.into_iter().map(|record| record.entry).collect();
        assert_eq!(attempts(&entries), 1201);
        assert!(entries.len() <= KEPT_APART + 1, "{}", entries.len());
        let started = |entry: &JournalEntry| Entry::read(entry.value.clone()).unwrap().value().unwrap();
        let started = entries.iter().map(started).find(|record| record["addr.remote"] == "0.0.0.0").unwrap();
        assert_eq!(started["attempts"], 4);
        assert_eq!(started["first_attempt"].as_str().unwrap().parse::<Timestamp>().unwrap(), first);
    }

    fn drain(joins: &FailedJoins) -> Vec<JournalEntry> {
        joins.take().iter().map(|(like, count)| joins.entry(like, *count)).collect()
    }

    fn attempts(entries: &[JournalEntry]) -> u64 {
        let of = |entry: &JournalEntry| Entry::read(entry.value.clone()).unwrap().value().unwrap();
        entries.iter().map(|entry| of(entry)["attempts"].as_u64().unwrap_or(1)).sum()
    }

    #[test]
    fn like_failures_are_one_record_whatever_the_port() {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let joins = FailedJoins::new(Recorder::new("example", clock.clock(), Random::seeded(1)));
        for remote in ["10.0.0.1:1000", "10.0.0.1:1001", "[::ffff:10.0.0.1]:7", "10.0.0.1"] {
            joins.note(remote, "token", "token expired or not found");
        }
        joins.note("nonsense", "\n", "token expired or not found");
        let records: Vec<_> =
            drain(&joins).into_iter().map(|entry| Entry::read(entry.value).unwrap().value().unwrap()).collect();
        assert_eq!(records.len(), 2);
        let merged = records.iter().find(|record| record["addr.remote"] == "10.0.0.1").unwrap();
        assert_eq!((merged["attempts"].as_u64(), merged["code"].as_str()), (Some(4), Some("TJ001E")));
        assert!(records.iter().any(|record| record["method"] == "unknown"));
    }
}
