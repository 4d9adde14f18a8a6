//! The signed word about who is calling, kept to half its life.

use std::{sync::Arc, time::Duration};

use clock::{Clock, Timestamp};
use domain::{Error, error::Kind};
use http::HeaderValue;

use crate::{
    Session,
    liveness::{FIRST_PATIENCE, LET_BE, PATIENCE},
    ports::Assertions,
    slots::{self, Slots},
};

/// The assertions of sessions that are being served.
pub(crate) struct Kept {
    assertions: Arc<dyn Assertions>,
    clock: Clock,
    slots: Slots<Known>,
}

/// See [`Slots`]. A session leads to one application, so its id is enough.
pub(crate) type Slot = slots::Slot<Known>;

/// What there is for one session.
#[derive(Default)]
pub(crate) struct Known {
    held: Option<Held>,
    /// When auth last had nothing to say.
    unheard: Option<(Duration, Error)>,
}

struct Held {
    /// As it goes into requests, marked as a secret.
    assertion: HeaderValue,
    expires: Timestamp,
    /// From then on another one is asked for.
    until: Timestamp,
}

impl Kept {
    pub(crate) fn new(assertions: Arc<dyn Assertions>, clock: Clock) -> Self {
        Self { assertions, clock, slots: Slots::new() }
    }

    /// Where the assertion of a session is kept.
    pub(crate) fn slot(&self, session: &Session) -> Slot {
        let now = self.clock.now();
        self.slots.of(session.id(), |known| known.held.as_ref().is_some_and(|held| now < held.until))
    }

    /// The assertion for a session and the application that it leads to.
    ///
    /// # Errors
    /// What auth answered; an old one that is still valid is given instead when auth does not answer.
    pub(crate) async fn of(&self, session: &Session, slot: &Slot) -> Result<HeaderValue, Error> {
        let mut known = slot.lock().await;
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let valid = known.held.as_ref().filter(|held| now < held.expires);
        if let Some(held) = valid.filter(|held| now < held.until) {
            return Ok(held.assertion.clone());
        }
        let valid = valid.map(|held| held.assertion.clone());
        if let Some((since, error)) = &known.unheard
            && at.saturating_sub(*since) < LET_BE
        {
            return valid.ok_or_else(|| error.clone());
        }
        let patience = if valid.is_some() { PATIENCE } else { FIRST_PATIENCE };
        let asked = self.assertions.assertion(session.id(), &session.route().name);
        let answer = self.clock.timeout(patience, asked).await;
        match answer.unwrap_or_else(|_| Err(Error::unavailable("the auth service does not answer"))) {
            Ok(signed) => {
                let mut assertion = HeaderValue::from_str(signed.token.expose())
                    .map_err(|_| Error::internal("the assertion cannot be sent in a header"))?;
                assertion.set_sensitive(true);
                let held =
                    Held { assertion: assertion.clone(), until: half(now, signed.expires), expires: signed.expires };
                *known = Known { held: Some(held), unheard: None };
                Ok(assertion)
            }
            Err(error) if error.kind == Kind::Unavailable => {
                known.unheard = Some((self.clock.monotonic(), error.clone()));
                valid.ok_or(error)
            }
            Err(error) => {
                *known = Known::default();
                Err(error)
            }
        }
    }
}

fn half(now: Timestamp, expires: Timestamp) -> Timestamp {
    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    now.saturating_add(left / 2).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use clock::ManualClock;
    use crypto::SecretString;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{ports::Assertion, tests::kit};

    /// Signs, until it falls silent.
    struct Auth {
        clock: Clock,
        asked: AtomicUsize,
        is_silent: AtomicBool,
    }

    #[async_trait]
    impl Assertions for Auth {
        async fn assertion(&self, _: &str, app: &str) -> Result<Assertion, Error> {
            let count = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_silent.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let expires = self.clock.now() + Duration::from_secs(600);
            Ok(Assertion { token: SecretString::new(format!("{app}.{count}")), expires })
        }
    }

    #[tokio::test]
    async fn while_auth_is_silent_a_valid_one_is_given_and_the_queue_asks_once() {
        let manual = ManualClock::new(Clock::system().now());
        let (asked, is_silent) = (AtomicUsize::new(0), AtomicBool::new(false));
        let auth = Arc::new(Auth { clock: manual.clock(), asked, is_silent });
        let kept = Arc::new(Kept::new(auth.clone(), manual.clock()));
        let session = kit::session(&[]).await;
        let first = kept.of(&session, &kept.slot(&session)).await.unwrap();
        assert!(first == "app.0" && first.is_sensitive());
        auth.is_silent.store(true, Ordering::Relaxed);
        // Past its half, but valid; then expired.
        for (passes, patience, is_given) in [(301, PATIENCE, true), (300, FIRST_PATIENCE, false)] {
            manual.advance(Duration::from_secs(passes));
            let before = auth.asked.load(Ordering::Relaxed);
            let mut requests = JoinSet::new();
            for _ in 0..4 {
                let (kept, session) = (Arc::clone(&kept), session.clone());
                requests.spawn(async move { kept.of(&session, &kept.slot(&session)).await });
            }
            manual.parked(1).await;
            manual.advance(patience);
            let answers = Clock::system().timeout(Duration::from_secs(5), requests.join_all()).await;
            let answers = answers.expect("the queue asks one by one");
            assert!(answers.iter().all(|answer| answer.is_ok() == is_given), "{answers:?}");
            assert_eq!(auth.asked.load(Ordering::Relaxed), before + 1);
        }
    }
}
