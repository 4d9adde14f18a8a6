//! The signed word about who is calling, kept to half its life, and no longer than the definition that it was signed by.
//!
//! Whom it is for (`aud`) and what it says (`jwt_claims`) auth takes from what was announced.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use clock::{Clock, Timestamp};
use domain::Error;
use http::HeaderValue;

use crate::{
    Session,
    liveness::{FIRST_PATIENCE, LET_BE, PATIENCE},
    ports::Assertions,
    registry::Served,
    slots::{self, Slots},
};

/// How long after an announcement auth may still sign by the one before: it answers from what it has in memory, and there
/// may be several of it.
const SETTLES: Duration = Duration::from_secs(5);

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
    /// What it is for.
    served: Weak<Served>,
    asked: Duration,
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
    /// What auth answered; an old one that is still valid is given instead when auth does not answer, or fails.
    pub(crate) async fn of(&self, session: &Session, served: &Arc<Served>, slot: &Slot) -> Result<HeaderValue, Error> {
        let mut known = slot.lock().await;
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let valid = known.held.as_ref().filter(|held| now < held.expires && held.is_for(served));
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
                let mut life = Duration::try_from(signed.expires.duration_since(now)).unwrap_or_default() / 2;
                if let Some(announced) = served.announced.get()
                    && at < *announced + SETTLES
                {
                    life = life.min(*announced + SETTLES - at);
                }
                let until = now.saturating_add(life).unwrap_or(now);
                let (expires, served) = (signed.expires, Arc::downgrade(served));
                let held = Held { assertion: assertion.clone(), served, asked: at, expires, until };
                *known = Known { held: Some(held), unheard: None };
                Ok(assertion)
            }
            Err(error) if error.kind.is_silence() => {
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

impl Held {
    /// Whether it was signed by this definition: before that was announced it was signed by the one before.
    fn is_for(&self, served: &Arc<Served>) -> bool {
        std::ptr::eq(self.served.as_ptr(), Arc::as_ptr(served))
            && served.announced.get().is_none_or(|announced| *announced <= self.asked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use clock::ManualClock;
    use crypto::SecretString;
    use tokio::task::JoinSet;

    use super::*;
    use crate::{Config, ports::Assertion, registry::Registry, tests::kit};

    /// Signs, until it falls silent.
    struct Auth {
        clock: Clock,
        asked: AtomicUsize,
        is_silent: AtomicBool,
        fails: Mutex<Option<Error>>,
    }

    #[async_trait]
    impl Assertions for Auth {
        async fn assertion(&self, _: &str, app: &str) -> Result<Assertion, Error> {
            let count = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_silent.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if let Some(error) = self.fails.lock().unwrap().clone() {
                return Err(error);
            }
            let expires = self.clock.now() + Duration::from_secs(600);
            Ok(Assertion { token: SecretString::new(format!("{app}.{count}")), expires })
        }
    }

    /// Auth, what is kept of it, and an application.
    fn beginning(manual: &ManualClock) -> (Arc<Auth>, Arc<Kept>, Arc<Served>) {
        let (asked, is_silent) = (AtomicUsize::new(0), AtomicBool::new(false));
        let auth = Arc::new(Auth { clock: manual.clock(), asked, is_silent, fails: Mutex::default() });
        let kept = Arc::new(Kept::new(auth.clone(), manual.clock()));
        (auth, kept, defined(manual))
    }

    fn defined(manual: &ManualClock) -> Arc<Served> {
        let apps = vec![kit::app("app", "http://127.0.0.1:1")];
        Registry::new(Config { apps, ..Config::default() }, &manual.clock()).unwrap().find("app").unwrap()
    }

    #[tokio::test]
    async fn while_auth_is_silent_a_valid_one_is_given_and_the_queue_asks_once() {
        let manual = ManualClock::new(Clock::system().now());
        let (auth, kept, served) = beginning(&manual);
        let session = kit::session(&[]).await;
        let first = kept.of(&session, &served, &kept.slot(&session)).await.unwrap();
        assert!(first == "app.0" && first.is_sensitive());
        auth.is_silent.store(true, Ordering::Relaxed);
        // Past its half, but valid; then expired.
        for (passes, patience, is_given) in [(301, PATIENCE, true), (300, FIRST_PATIENCE, false)] {
            manual.advance(Duration::from_secs(passes));
            let before = auth.asked.load(Ordering::Relaxed);
            let mut requests = JoinSet::new();
            for _ in 0..4 {
                let (kept, session, served) = (Arc::clone(&kept), session.clone(), Arc::clone(&served));
                requests.spawn(async move { kept.of(&session, &served, &kept.slot(&session)).await });
            }
            manual.parked(1).await;
            manual.advance(patience);
            let answers = Clock::system().timeout(Duration::from_secs(5), requests.join_all()).await;
            let answers = answers.expect("the queue asks one by one");
            assert!(answers.iter().all(|answer| answer.is_ok() == is_given), "{answers:?}");
            assert_eq!(auth.asked.load(Ordering::Relaxed), before + 1);
        }
    }

    #[tokio::test]
    async fn where_auth_fails_a_valid_one_is_given_and_where_it_refuses_none() {
        for (error, is_given) in [
            (Error::internal("the key store failed"), true),
            (Error::limit("too many requests"), true),
            (Error::not_found("no such session"), false),
        ] {
            let manual = ManualClock::new(Clock::system().now());
            let (auth, kept, served) = beginning(&manual);
            let session = kit::session(&[]).await;
            kept.of(&session, &served, &kept.slot(&session)).await.unwrap();
            manual.advance(Duration::from_secs(301));
            *auth.fails.lock().unwrap() = Some(error);
            let given = kept.of(&session, &served, &kept.slot(&session)).await;
            assert_eq!(given.is_ok(), is_given, "{given:?}");
        }
    }

    #[tokio::test]
    async fn one_that_was_signed_by_another_definition_is_given_to_nobody() {
        let manual = ManualClock::new(Clock::system().now());
        let (auth, kept, before) = beginning(&manual);
        let (session, clock) = (kit::session(&[]).await, manual.clock());
        let count = async |served: &Arc<Served>| {
            let given = kept.of(&session, served, &kept.slot(&session)).await.unwrap();
            given.to_str().unwrap().to_owned()
        };
        assert_eq!((count(&before).await, count(&before).await), ("app.0".into(), "app.0".into()));
        let after = defined(&manual);
        assert_eq!(count(&after).await, "app.1", "another definition");
        assert_eq!(count(&after).await, "app.1");
        manual.advance(Duration::from_millis(1));
        after.announced.set(clock.monotonic()).unwrap();
        assert_eq!(count(&after).await, "app.2", "auth signed by what was announced before");
        manual.advance(SETTLES);
        assert_eq!(count(&after).await, "app.3", "it may have done so for a moment more");
        manual.advance(Duration::from_secs(299));
        assert_eq!(count(&after).await, "app.3", "from then on it is kept to half its life");
        let again = defined(&manual);
        auth.is_silent.store(true, Ordering::Relaxed);
        let none = manual.pass_until(FIRST_PATIENCE, kept.of(&session, &again, &kept.slot(&session))).await;
        assert!(none.is_err(), "though auth does not answer");
    }
}
