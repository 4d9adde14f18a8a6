//! Who hands out ways to applications, and when they are made anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use clock::Clock;
use domain::{Error, error::Kind};
use tokio::{sync::watch, task::JoinSet};

use crate::{Access, serve::report};

/// How long one attempt to get a certificate may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// After a renewal that failed while the old certificate is still good. Also the first wait before another certificate is
/// thrown away; each that follows is a session in the cluster's records, of which it keeps few, so the wait doubles.
const AGAIN: Duration = Duration::from_secs(15);

/// How often the wait doubles: to a quarter of an hour.
const DOUBLINGS: u32 = 6;

/// How long a refusal answers everybody who asks for the same: names come from whoever reaches a forward proxy.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Ways to applications.
#[async_trait]
pub trait Keyring: Send + Sync + 'static {
    /// The way to the application `app`.
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error>;

    /// The cluster did not take this one. Tells whether the next is another.
    fn discard(&self, refused: &Arc<Access>) -> bool;
}

/// Gets a certificate that leads to an application.
#[async_trait]
pub trait Issue: Send + Sync + 'static {
    /// A new way to the application `app`.
    async fn issue(&self, app: &str) -> Result<Issued, Error>;
}

/// A new way, and for how long. These are spans, because the clock of this machine may be wrong by more than they are.
pub struct Issued {
    /// The way.
    pub access: Access,
    /// After so long it is to be replaced.
    pub renew_in: Duration,
    /// After so long it has ended.
    pub good_for: Duration,
}

/// One certificate for each application, renewed when it is used and due. A renewal goes on beside those who use the old
/// one, and does not end with the request that began it.
pub struct Cached<I> {
    issue: Arc<I>,
    clock: Clock,
    slots: Mutex<HashMap<String, Slot>>,
    attempts: Mutex<JoinSet<()>>,
}

type Slot = Arc<Mutex<Held>>;

/// How an attempt ended, for all who wait for it.
type Outcome = Result<Arc<Access>, Error>;
type Coming = watch::Receiver<Option<Outcome>>;

/// What is known of one application. Times are those of the boot clock.
#[derive(Default)]
struct Held {
    current: Option<Current>,
    /// The last attempt; under way as long as somebody can send.
    coming: Option<Coming>,
    failed: Option<(Duration, Error)>,
    /// Not before this is another one thrown away.
    kept_until: Duration,
    discards: u32,
}

struct Current {
    access: Arc<Access>,
    renew_at: Duration,
    over_at: Duration,
}

impl Held {
    fn usable(&self, now: Duration) -> Option<&Current> {
        self.current.as_ref().filter(|current| now < current.over_at)
    }

    fn failed_within(&self, span: Duration, now: Duration) -> Option<&Error> {
        self.failed.as_ref().filter(|(at, _)| now < *at + span).map(|(_, error)| error)
    }

    fn refusal(&self, now: Duration) -> Option<&Error> {
        self.failed_within(REFUSED_FOR, now).filter(|error| matches!(error.kind, Kind::NotFound | Kind::Denied))
    }

    fn settle(&mut self, app: &str, outcome: Result<Issued, Error>, now: Duration) -> Outcome {
        match outcome {
            Ok(Issued { access, renew_in, good_for }) => {
                // The old one was good to the end.
                self.discards = if self.current.is_some() { 0 } else { self.discards };
                let access = Arc::new(access);
                let current = Current { access, renew_at: now + renew_in, over_at: now + good_for };
                self.failed = None;
                Ok(Arc::clone(&self.current.insert(current).access))
            }
            Err(error) => {
                if let Some(old) = self.usable(now) {
                    let until = old.access.not_after();
                    tracing::warn!(app, %error, %until, "the certificate for an application is not renewed");
                }
                self.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }
}

impl<I: Issue> Cached<I> {
    /// An empty ring.
    pub fn new(issue: I, clock: Clock) -> Self {
        Self { issue: Arc::new(issue), clock, slots: Mutex::default(), attempts: Mutex::default() }
    }

    /// Waits for the renewal when it is due. Tells how long it is until the next.
    ///
    /// # Errors
    /// What [`Issue::issue`] says, also when the old certificate is still good.
    pub async fn keep(&self, app: &str) -> Result<Duration, Error> {
        let slot = self.slot(app);
        let coming = {
            let mut held = lock(&slot);
            match held.usable(self.clock.boot()) {
                Some(current) if current.renew_at > self.clock.boot() => None,
                _ => Some(self.begin(app, &slot, &mut held)),
            }
        };
        if let Some(coming) = coming {
            wait(coming).await?;
        }
        let renew_at = lock(&slot).current.as_ref().map(|current| current.renew_at);
        Ok(renew_at.unwrap_or_default().saturating_sub(self.clock.boot()))
    }

    /// Whether there is a certificate that has not ended.
    pub fn is_good(&self, app: &str) -> bool {
        lock(&self.slot(app)).usable(self.clock.boot()).is_some()
    }

    /// Has all made anew, now. The old ones are used until then.
    pub fn renew(&self) {
        let now = self.clock.boot();
        for (app, slot) in lock(&self.slots).iter() {
            let mut held = lock(slot);
            held.failed = None;
            if let Some(current) = &mut held.current {
                current.renew_at = now;
                self.begin(app, slot, &mut held);
            }
        }
    }

    fn slot(&self, app: &str) -> Slot {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(app) {
            return Arc::clone(slot);
        }
        // Names that led nowhere are forgotten, so nobody can fill the map with them.
        let now = self.clock.boot();
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || {
                let held = lock(slot);
                held.usable(now).is_some() || held.refusal(now).is_some() || held.kept_until > now
            }
        });
        Arc::clone(slots.entry(app.to_owned()).or_default())
    }

    /// The attempt that is under way, or a new one.
    fn begin(&self, app: &str, slot: &Slot, held: &mut Held) -> Coming {
        if let Some(coming) = held.coming.as_ref().filter(|coming| coming.has_changed().is_ok()) {
            return coming.clone();
        }
        let (done, coming) = watch::channel(None);
        held.coming = Some(coming.clone());
        let (issue, clock, slot, app) = (Arc::clone(&self.issue), self.clock.clone(), Arc::clone(slot), app.to_owned());
        let mut attempts = lock(&self.attempts);
        while let Some(ended) = attempts.try_join_next() {
            report(ended);
        }
        attempts.spawn(async move {
            let outcome = clock.timeout(DEADLINE, issue.issue(&app)).await.unwrap_or_else(|_| {
                let seconds = DEADLINE.as_secs();
                Err(Error::unavailable(format!("no certificate for application {app:?} within {seconds} s")))
            });
            let outcome = lock(&slot).settle(&app, outcome, clock.boot());
            done.send_replace(Some(outcome));
        });
        coming
    }
}

#[async_trait]
impl<I: Issue> Keyring for Cached<I> {
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error> {
        let slot = self.slot(app);
        let coming = {
            let mut held = lock(&slot);
            let now = self.clock.boot();
            if let Some(Current { access, renew_at, .. }) = held.usable(now) {
                let (access, is_due) = (Arc::clone(access), *renew_at <= now);
                if is_due && held.failed_within(AGAIN, now).is_none() {
                    self.begin(app, &slot, &mut held);
                }
                return Ok(access);
            }
            if let Some(error) = held.refusal(now) {
                return Err(error.clone());
            }
            self.begin(app, &slot, &mut held)
        };
        wait(coming).await
    }

    fn discard(&self, refused: &Arc<Access>) -> bool {
        let slot = self.slot(refused.app());
        let mut held = lock(&slot);
        let now = self.clock.boot();
        if held.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.access, refused)) {
            if now < held.kept_until {
                return false;
            }
            held.current = None;
            held.kept_until = now + AGAIN * (1 << held.discards.min(DOUBLINGS));
            held.discards += 1;
        }
        true
    }
}

async fn wait(mut coming: Coming) -> Outcome {
    let ended = || Error::internal("the attempt to get a certificate broke off");
    let outcome = coming.wait_for(Option::is_some).await.map_err(|_| ended())?;
    outcome.clone().ok_or_else(ended)?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
