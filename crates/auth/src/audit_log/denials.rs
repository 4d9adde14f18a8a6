//! Denials of known callers: merged, so that somebody who is denied ten thousand times fills neither disk nor commit queue.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use audit::{Recorder, events::auth::AccessDenied};
use clock::Timestamp;
use storage::{Backend, Batch};

/// How long a user's denials are counted before it may again have some kept apart.
const WINDOW: Duration = Duration::from_secs(60);

/// How many different denials of one user are kept apart in a window. Further ones are merged by what was tried: whoever
/// chooses the names that it is denied would push the records of others out, and fill the disk.
const OF_A_USER: usize = 32;

/// How many different denials of all users are kept apart in a window.
const KEPT_APART: usize = 1024;

/// How many records of merged denials there are in a window; what is beyond is counted in one, of nobody.
const MERGED: usize = 512;

/// Says of a record that it stands for others, too.
const MANY: &str = "too many different denials of this user to tell them apart";

/// The same where not even the users are told apart.
const MANY_USERS: &str = "too many denials of too many users to tell them apart";

/// How many records one commit carries.
const PER_COMMIT: usize = 32;

/// The longest text of a record that a caller chose: no resource has a longer name. Beyond it a record of a few megabytes
/// would not fit into a commit, and take the denials of others with it.
const LONGEST: usize = 256;

/// Merges denials. What makes two alike: who, from where, what, on what, and why.
pub(crate) struct Denials {
    recorder: Recorder,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: HashMap<Like, AccessDenied>,
    /// Those that are not kept apart; they wait for the end of the window.
    merged: HashMap<Like, AccessDenied>,
    /// How many of each user were kept apart in this window, and of all.
    of_users: HashMap<String, usize>,
    kept_apart: usize,
    /// When the window began, on the clock's monotonic scale.
    began: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Like {
    user: String,
    operation: String,
    verb: String,
    kind: String,
    resource: String,
    explanation: String,
}

impl Like {
    fn of(event: &AccessDenied) -> Self {
        Self {
            user: event.user.user.clone(),
            operation: event.operation.clone(),
            verb: event.verb.clone(),
            kind: event.kind.clone(),
            resource: event.resource.clone(),
            explanation: event.explanation.clone(),
        }
    }
}

impl State {
    fn note(&mut self, event: AccessDenied) {
        let like = Like::of(&event);
        if let Some(known) = self.pending.get_mut(&like) {
            known.attempts += event.attempts;
            return;
        }
        let of_user = self.of_users.get(&like.user).copied().unwrap_or_default();
        if of_user < OF_A_USER && self.kept_apart < KEPT_APART {
            self.of_users.insert(like.user.clone(), of_user + 1);
            self.kept_apart += 1;
            self.pending.insert(like, event);
            return;
        }
        self.merge(event);
    }

    /// Takes back what could not be written now. It was told apart from others before, and is so further, within the bound.
    fn take_back(&mut self, mut event: AccessDenied, now: Timestamp) {
        event.first_attempt.get_or_insert(now);
        let like = Like::of(&event);
        if let Some(known) = self.pending.get_mut(&like) {
            known.attempts += event.attempts;
            known.first_attempt = event.first_attempt;
        } else if self.pending.len() < KEPT_APART {
            self.pending.insert(like, event);
        } else {
            self.merge(event);
        }
    }

    fn merge(&mut self, mut event: AccessDenied) {
        for text in [&mut event.verb, &mut event.kind, &mut event.resource, &mut event.role, &mut event.rule] {
            text.clear();
        }
        event.explanation = MANY.to_owned();
        if self.merged.len() >= MERGED && !self.merged.contains_key(&Like::of(&event)) {
            (event.user, event.connection) = Default::default();
            event.operation.clear();
            event.explanation = MANY_USERS.to_owned();
        }
        let (attempts, first) = (event.attempts, event.first_attempt);
        let also = |known: &mut AccessDenied| {
            known.attempts += attempts;
            known.first_attempt = first.into_iter().chain(known.first_attempt).min();
        };
        self.merged.entry(Like::of(&event)).and_modify(also).or_insert(event);
    }

    /// What is to be written; the merged ones at the end of a window.
    fn take(&mut self, now: Duration, is_last: bool) -> Vec<AccessDenied> {
        let mut events: Vec<AccessDenied> = std::mem::take(&mut self.pending).into_values().collect();
        if is_last || now.saturating_sub(self.began) >= WINDOW {
            events.extend(std::mem::take(&mut self.merged).into_values());
            *self = Self { began: now, ..Self::default() };
        }
        events
    }
}

impl Denials {
    pub(crate) fn new(recorder: Recorder) -> Self {
        let state = State { began: recorder.clock().monotonic(), ..State::default() };
        Self { recorder, state: Mutex::new(state) }
    }

    /// Counts a denial.
    pub(crate) fn note(&self, mut event: AccessDenied) {
        cut(&mut event.resource);
        self.state().note(event);
    }

    /// Writes what was counted; with `is_last` all of it. What the store does not take now, because its disk is full, is
    /// counted on.
    pub(crate) async fn flush(&self, backend: &dyn Backend, is_last: bool) {
        let now = self.recorder.clock().monotonic();
        let events = self.state().take(now, is_last);
        for some in events.chunks(PER_COMMIT) {
            match self.write(backend, some).await {
                Ok(()) => {}
                Err(error @ storage::Error::Unavailable { .. }) if !is_last => {
                    tracing::warn!(%error, waiting = some.len(), "denials could not be audited yet");
                    let now = self.recorder.clock().now();
                    some.iter().for_each(|event| self.state().take_back(event.clone(), now));
                }
                // One that cannot be written must not take the others along.
                Err(_) => self.write_each(backend, some).await,
            }
        }
    }

    async fn write_each(&self, backend: &dyn Backend, events: &[AccessDenied]) {
        for one in events {
            if let Err(error) = self.write(backend, std::slice::from_ref(one)).await {
                tracing::error!(%error, user = one.user.user, operation = one.operation, "a denial could not be audited");
            }
        }
    }

    async fn write(&self, backend: &dyn Backend, events: &[AccessDenied]) -> Result<(), storage::Error> {
        let journal = events.iter().map(|event| self.recorder.entry(event)).collect();
        backend.batch(Batch { journal, ..Batch::new() }).await.map(|_| ())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &mut String) {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clock::ManualClock;
    use crypto::Random;
    use storage::{
        fault::{Fault, Faulty},
        memory::Memory,
    };

    use super::*;

    #[tokio::test]
    async fn a_full_disk_loses_no_denial_and_keeps_a_bounded_number_of_records() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        let random = Random::seeded(1);
        let denials = Denials::new(Recorder::new("example", clock.clock(), random.clone()));
        let store = Arc::new(Memory::new(clock.clock(), &random));
        let full = Faulty::new(Arc::clone(&store) as Arc<dyn Backend>, |_| Fault::Unavailable);
        let deny = |user: u32, resource: u32| {
            let (user, resource) = (format!("user-{user}"), format!("resource-{resource}"));
            let user = audit::UserMetadata { user, ..Default::default() };
            denials.note(AccessDenied { user, resource, attempts: 1, ..AccessDenied::default() });
        };
        for round in 0..10 {
            (0..100).for_each(|user| deny(user, 0));
            (0..200).for_each(|resource| deny(1000, round * 200 + resource));
            denials.flush(&full, false).await;
            clock.advance(WINDOW);
        }
        denials.flush(&*store, true).await;
        let page = store.journal_read(None, 1000).await.unwrap();
        let read =
            |entry: &storage::JournalRecord| audit::Entry::read(entry.entry.value.clone()).unwrap().value().unwrap();
        let records: Vec<_> = page.records.iter().map(read).collect();
        let attempts = |record: &serde_json::Value| record["attempts"].as_u64().unwrap_or(1);
        assert_eq!(records.iter().map(attempts).sum::<u64>(), 10 * 300);
        assert!(records.len() < KEPT_APART, "{}", records.len());
        let begun =
            records.iter().filter_map(|record| record["first_attempt"].as_str()?.parse::<Timestamp>().ok()).min();
        assert_eq!(begun, Some(start), "when it was denied, and not when the disk was free");
        let of_one = records.iter().filter(|record| record["user"] == "user-7").map(attempts).collect::<Vec<_>>();
        assert_eq!(of_one, [10], "one record of what was tried again and again");
    }
}
