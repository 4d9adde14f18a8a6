//! Denials of known callers: merged, so that somebody who is denied ten thousand times fills neither disk nor commit queue.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use audit::{Recorder, events::auth::AccessDenied};
use store::Store;

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
    fn note(&mut self, mut event: AccessDenied) {
        let like = Like::of(&event);
        if let Some(known) = self.pending.get_mut(&like) {
            known.attempts += 1;
            return;
        }
        let of_user = self.of_users.get(&like.user).copied().unwrap_or_default();
        if of_user < OF_A_USER && self.kept_apart < KEPT_APART {
            self.of_users.insert(like.user.clone(), of_user + 1);
            self.kept_apart += 1;
            self.pending.insert(like, event);
            return;
        }
        for text in [&mut event.verb, &mut event.kind, &mut event.resource, &mut event.role, &mut event.rule] {
            text.clear();
        }
        event.explanation = MANY.to_owned();
        if self.merged.len() >= MERGED && !self.merged.contains_key(&Like::of(&event)) {
            (event.user, event.connection) = Default::default();
            event.operation.clear();
            event.explanation = MANY_USERS.to_owned();
        }
        self.merged.entry(Like::of(&event)).and_modify(|known| known.attempts += 1).or_insert(event);
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner).note(event);
    }

    /// Writes what was counted; with `is_last` all of it.
    pub(crate) async fn flush(&self, store: &Store, is_last: bool) {
        let now = self.recorder.clock().monotonic();
        let events = self.state.lock().unwrap_or_else(PoisonError::into_inner).take(now, is_last);
        for some in events.chunks(PER_COMMIT) {
            if self.write(store, some).await.is_ok() {
                continue;
            }
            // One that cannot be written must not take the others along.
            for one in some {
                if let Err(error) = self.write(store, std::slice::from_ref(one)).await {
                    tracing::error!(%error, user = one.user.user, operation = one.operation, "a denial could not be audited");
                }
            }
        }
    }

    async fn write(&self, store: &Store, events: &[AccessDenied]) -> Result<(), domain::Error> {
        let change = events.iter().fold(store.change(), |change, event| change.journal(self.recorder.entry(event)));
        change.commit().await.map(|_| ())
    }
}

fn cut(text: &mut String) {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
}
