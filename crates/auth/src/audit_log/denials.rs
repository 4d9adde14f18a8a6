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
    pub(crate) fn note(&self, event: AccessDenied) {
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
            let change = some.iter().fold(store.change(), |change, event| change.journal(self.recorder.entry(event)));
            if let Err(error) = change.commit().await {
                tracing::error!(%error, lost = some.len(), "denials could not be audited");
            }
        }
    }
}
