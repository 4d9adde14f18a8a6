//! Whether a session lives: asked of auth, and the answer kept for a moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::Clock;
use domain::error::Kind;
use rbac::LockingMode;

use crate::{
    access::Refusal,
    ports::{Live, Sessions},
};

/// How long an answer is kept: how long somebody who has logged out can still be served.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(5);

/// From how many on old answers are looked for and dropped.
const MANY: usize = 1024;

/// The answers of the last moments.
pub(crate) struct Liveness {
    sessions: Arc<dyn Sessions>,
    clock: Clock,
    kept: Mutex<HashMap<String, Slot>>,
}

/// One question is under way for a session at a time; the others wait for its answer.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

#[derive(Clone)]
struct Kept {
    asked: Duration,
    live: Option<Live>,
}

impl Liveness {
    pub(crate) fn new(sessions: Arc<dyn Sessions>, clock: Clock) -> Self {
        Self { sessions, clock, kept: Mutex::default() }
    }

    /// What auth says of the session and for how long that may be believed. It was said at most [`KEPT_FOR`] ago. When auth does not answer, `mode` decides as it does for
    /// locks: `strict` refuses, `best_effort` goes on with what was known last, until the session's end.
    ///
    /// # Errors
    /// It is over, or auth did not say.
    pub(crate) async fn check(&self, id: &str, mode: LockingMode) -> Result<(Live, Duration), Refusal> {
        let slot = self.slot(id);
        let mut slot = slot.lock().await;
        let now = self.clock.monotonic();
        let before = slot.clone();
        let live = match before {
            Some(kept) if now.saturating_sub(kept.asked) < KEPT_FOR => kept.live,
            before => match self.sessions.live(id).await {
                Ok(live) => {
                    // Counted from before the question, so that the answer is never older than it looks.
                    *slot = Some(Kept { asked: now, live: live.clone() });
                    live
                }
                Err(error) => match before.and_then(|kept| kept.live) {
                    Some(known) if mode == LockingMode::BestEffort && error.kind == Kind::Unavailable => {
                        tracing::warn!(%error, "auth does not say whether a session lives; going on with what was known");
                        *slot = Some(Kept { asked: now, live: Some(known.clone()) });
                        Some(known)
                    }
                    _ => return Err(Refusal::Unavailable(error.message)),
                },
            },
        };
        let age = slot.as_ref().map_or(KEPT_FOR, |kept| now.saturating_sub(kept.asked));
        let live = live.filter(|live| self.clock.now() < live.not_after).ok_or(Refusal::Ended)?;
        Ok((live, KEPT_FOR.saturating_sub(age)))
    }

    /// Forgets what was answered: something happened that may have ended sessions. What auth cannot be asked about is
    /// still known.
    pub(crate) fn doubt(&self) {
        let slots: Vec<Slot> = self.kept.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for slot in slots {
            // Who holds it is asking at this moment.
            if let Ok(mut slot) = slot.try_lock()
                && let Some(kept) = slot.as_mut()
            {
                kept.asked = kept.asked.saturating_sub(KEPT_FOR);
            }
        }
    }

    fn slot(&self, id: &str) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MANY && !kept.contains_key(id) {
            let now = self.clock.now();
            kept.retain(|_, slot| match slot.try_lock() {
                Ok(slot) => {
                    slot.as_ref().is_some_and(|kept| kept.live.as_ref().is_some_and(|live| live.not_after > now))
                }
                Err(_) => true,
            });
        }
        Arc::clone(kept.entry(id.to_owned()).or_default())
    }
}
