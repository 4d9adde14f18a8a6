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
        let mut like = Like { joiner, source, method, reason };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= KEPT_APART && !pending.contains_key(&like) {
            // Everything that a stranger can vary is given up, or this would not be a bound.
            like = Like { joiner, source: OTHERS.into(), method: UNKNOWN.into(), reason: MANY.into() };
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
        let entries = joins.drain();
        assert_eq!(entries.len(), KEPT_APART + 1);
        let attempts: u64 = entries
            .iter()
            .map(|entry| Entry::read(entry.value.clone()).unwrap().value().unwrap()["attempts"].as_u64().unwrap_or(1))
            .sum();
        assert_eq!(attempts, 100_000);
        assert!(entries.iter().all(|entry| entry.value.len() < 1000));
        assert!(joins.drain().is_empty());
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
            joins.drain().into_iter().map(|entry| Entry::read(entry.value).unwrap().value().unwrap()).collect();
        assert_eq!(records.len(), 2);
        let merged = records.iter().find(|record| record["addr.remote"] == "10.0.0.1").unwrap();
        assert_eq!((merged["attempts"].as_u64(), merged["code"].as_str()), (Some(4), Some("TJ001E")));
        assert!(records.iter().any(|record| record["method"] == "unknown"));
    }
}
