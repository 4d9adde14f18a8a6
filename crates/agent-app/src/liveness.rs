//! Whether a session lives: asked of auth, and the answer kept for a moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use domain::Error;
use rbac::LockingMode;

use crate::{
    Metrics,
    access::Refusal,
    ports::{Live, Sessions},
    slots::{self, Slots},
};

/// How long an answer is kept: how long somebody who has logged out can still be served.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// How long auth may take to say something about a session where an earlier word may be gone by.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The same where there is none.
pub(crate) const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// How long auth is not asked again, if it has said nothing and there is no word to go by: those who wait in a queue would
/// each ask as long as the one before.
pub(crate) const LET_BE: Duration = Duration::from_secs(1);

/// The answers of the last moments.
pub(crate) struct Liveness {
    sessions: Arc<dyn Sessions>,
    clock: Clock,
    slots: Slots<Known>,
    /// Counts what may have ended sessions: an answer from before counts no more.
    doubts: AtomicU64,
    metrics: Metrics,
}

/// See [`Slots`].
pub(crate) type Slot = slots::Slot<Known>;

/// What is known of one session.
#[derive(Default)]
pub(crate) struct Known {
    said: Option<Said>,
    unheard: Option<Unheard>,
}

/// What auth has said: none for a session that is over.
struct Said {
    live: Option<Live>,
    asked: Duration,
    doubts: u64,
}

/// That auth has said nothing.
struct Unheard {
    since: Duration,
    doubts: u64,
    error: Error,
}

impl Liveness {
    pub(crate) fn new(sessions: Arc<dyn Sessions>, clock: Clock, metrics: Metrics) -> Self {
        Self { sessions, clock, slots: Slots::new(), doubts: AtomicU64::new(0), metrics }
    }

    /// Where what is known of a session is kept.
    pub(crate) fn slot(&self, id: &str) -> Slot {
        let now = self.clock.now();
        self.slots.of(id, |known| {
            known.said.as_ref().and_then(|said| said.live.as_ref()).is_some_and(|live| live.not_after > now)
        })
    }

    /// What auth says of the session and for how long that may be believed. It was said at most [`KEPT_FOR`] ago. When auth
    /// does not answer, or fails, `mode` decides as it does for locks: `strict` refuses, `best_effort` goes on with what was known
    /// last, until the session's end.
    ///
    /// # Errors
    /// It is over, or auth did not say.
    pub(crate) async fn check(&self, id: &str, slot: &Slot, mode: LockingMode) -> Result<(Live, Duration), Refusal> {
        let mut known = slot.lock().await;
        // Counted from before the question, so that the answer is never older than it looks.
        let (now, doubts) = (self.clock.monotonic(), self.doubts.load(Ordering::Acquire));
        let left = |since: Duration, span: Duration| (since + span).checked_sub(now).filter(|left| !left.is_zero());
        if let Some(said) = known.said.as_ref().filter(|said| said.doubts == doubts)
            && let Some(left) = left(said.asked, KEPT_FOR)
        {
            return self.living(said, left);
        }
        let may_go_on = known.said.is_some() && mode == LockingMode::BestEffort;
        let (patience, let_be) = if may_go_on { (PATIENCE, KEPT_FOR) } else { (FIRST_PATIENCE, LET_BE) };
        if let Some(unheard) = known.unheard.as_ref().filter(|unheard| unheard.doubts == doubts)
            && let Some(left) = left(unheard.since, let_be)
        {
            return match &known.said {
                Some(said) if may_go_on => self.still_living(said, left),
                _ => Err(Refusal::Unavailable(unheard.error.message.clone())),
            };
        }
        let answer = self.clock.timeout(patience, self.sessions.live(id)).await;
        match answer.unwrap_or_else(|_| Err(Error::unavailable("the auth service does not answer"))) {
            Ok(live) => {
                let said = Said { live, asked: now, doubts };
                let believed = self.living(&said, KEPT_FOR);
                *known = Known { said: Some(said), unheard: None };
                believed
            }
            Err(error) if error.kind.is_silence() => {
                let refusal = Refusal::Unavailable(error.message.clone());
                let known = &mut *known;
                match &known.said {
                    Some(said) if may_go_on => {
                        tracing::warn!(%error, "auth does not say whether a session lives; going on with what was known");
                        known.unheard = Some(Unheard { since: self.clock.monotonic(), doubts, error });
                        self.still_living(said, let_be)
                    }
                    _ => {
                        known.unheard = Some(Unheard { since: self.clock.monotonic(), doubts, error });
                        Err(refusal)
                    }
                }
            }
            Err(error) => Err(Refusal::Unavailable(error.message)),
        }
    }

    /// Believes no earlier answer any more, nor one that is on its way: something happened that may have ended sessions.
    /// What auth cannot be asked about is still known.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Release);
    }

    /// The same by a word that is older than it should be.
    fn still_living(&self, said: &Said, left: Duration) -> Result<(Live, Duration), Refusal> {
        self.metrics.stale_decisions.inc();
        self.living(said, left)
    }

    fn living(&self, said: &Said, left: Duration) -> Result<(Live, Duration), Refusal> {
        let live = said.live.as_ref().filter(|live| self.clock.now() < live.not_after);
        live.map(|live| (live.clone(), left)).ok_or(Refusal::Ended)
    }
}

#[cfg(test)]
mod tests;
