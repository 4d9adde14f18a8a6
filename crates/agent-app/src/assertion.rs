//! The signed word about who is calling, kept to half its life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use clock::{Clock, Timestamp};
use domain::Error;

use crate::{
    Session,
    ports::{Assertion, Assertions},
};

/// From how many on old ones are looked for and dropped.
const MANY: usize = 1024;

/// The assertions of sessions that are being served.
pub(crate) struct Kept {
    assertions: Arc<dyn Assertions>,
    clock: Clock,
    kept: Mutex<HashMap<(String, String), Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

struct Held {
    assertion: Assertion,
    /// From then on another one is asked for.
    until: Timestamp,
}

impl Kept {
    pub(crate) fn new(assertions: Arc<dyn Assertions>, clock: Clock) -> Self {
        Self { assertions, clock, kept: Mutex::default() }
    }

    /// The assertion for a session and an application that this agent serves.
    ///
    /// # Errors
    /// What auth answered; an old one that is still valid is given instead when auth does not answer.
    pub(crate) async fn of(&self, session: &Session, app: &str) -> Result<Assertion, Error> {
        let slot = self.slot(session.id(), app);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(held) = slot.as_ref().filter(|held| now < held.until) {
            return Ok(held.assertion.clone());
        }
        match self.assertions.assertion(session.id(), app).await {
            Ok(assertion) => {
                *slot = Some(Held { until: half(now, assertion.expires), assertion: assertion.clone() });
                Ok(assertion)
            }
            Err(error) if error.kind == domain::error::Kind::Unavailable => {
                let held = slot.as_ref().map(|held| &held.assertion).filter(|held| now < held.expires);
                held.cloned().ok_or(error)
            }
            Err(error) => {
                *slot = None;
                Err(error)
            }
        }
    }

    fn slot(&self, id: &str, app: &str) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MANY {
            let now = self.clock.now();
            kept.retain(|_, slot| match slot.try_lock() {
                Ok(slot) => slot.as_ref().is_some_and(|held| now < held.until),
                Err(_) => true,
            });
        }
        Arc::clone(kept.entry((id.to_owned(), app.to_owned())).or_default())
    }
}

fn half(now: Timestamp, expires: Timestamp) -> Timestamp {
    let left = std::time::Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    now.saturating_add(left / 2).unwrap_or(now)
}
