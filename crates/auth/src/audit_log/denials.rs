//! Denials of known callers: merged, so that somebody who is denied ten thousand times fills neither disk nor commit queue.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use audit::{Recorder, events::auth::AccessDenied};
use store::Store;

/// How many different denials are kept apart between two flushes; further ones only count in the log.
const KEPT_APART: usize = 1024;

/// How many records one commit carries.
const PER_COMMIT: usize = 32;

/// The longest text of a record that a caller chose: no resource has a longer name. Beyond it a record of a few megabytes
/// would not fit into a commit, and take the denials of others with it.
const LONGEST: usize = 256;

/// Merges denials. What makes two alike: who, from where, what, on what, and why.
pub(crate) struct Denials {
    recorder: Recorder,
    pending: Mutex<HashMap<Like, AccessDenied>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Like {
    user: String,
    operation: String,
    verb: String,
    kind: String,
    resource: String,
    explanation: String,
}

impl Denials {
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self { recorder, pending: Mutex::default() }
    }

    /// Counts a denial.
    pub(crate) fn note(&self, mut event: AccessDenied) {
        cut(&mut event.resource);
        let like = Like {
            user: event.user.user.clone(),
            operation: event.operation.clone(),
            verb: event.verb.clone(),
            kind: event.kind.clone(),
            resource: event.resource.clone(),
            explanation: event.explanation.clone(),
        };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pending.get_mut(&like) {
            known.attempts += 1;
        } else if pending.len() < KEPT_APART {
            pending.insert(like, event);
        } else {
            tracing::warn!(
                user = like.user,
                operation = like.operation,
                "too many different denials at once; this one is only logged"
            );
        }
    }

    /// Writes what was counted.
    pub(crate) async fn flush(&self, store: &Store) {
        let pending: Vec<AccessDenied> = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *pending).into_values().collect()
        };
        for some in pending.chunks(PER_COMMIT) {
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
