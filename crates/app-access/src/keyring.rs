//! Who hands out ways to applications, and when they are made anew.

use std::{
    collections::HashMap,
    future::ready,
    pin::Pin,
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
/// replaced early; each that follows is a session in the cluster's records, of which it keeps few, so the wait doubles.
const AGAIN: Duration = Duration::from_secs(15);

/// How often the wait doubles: to a quarter of an hour.
const DOUBLINGS: u32 = 6;

/// How long a refusal answers everybody who asks for the same: names come from whoever reaches a forward proxy. Also after a
/// renewal that failed while the old certificate is not taken.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Ways to applications.
#[async_trait]
pub trait Keyring: Send + Sync + 'static {
    /// The way to the application `app`.
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error>;

    /// The cluster did not take this one. What takes its place, if something does; it comes also when nobody waits.
    fn discard(&self, refused: &Arc<Access>) -> Option<Next>;
}

/// A way that comes.
pub type Next = Pin<Box<dyn Future<Output = Result<Arc<Access>, Error>> + Send>>;

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
    /// The attempt that is under way, unless nobody can send any more.
    coming: Option<Coming>,
    /// What it brings is to be made anew at once.
    is_overtaken: bool,
    failed: Option<(Duration, Error)>,
    /// Not before this is another one replaced early.
    kept_until: Duration,
    discards: u32,
}

struct Current {
    access: Arc<Access>,
    /// The cluster did not take it. It is shown until there is another: what is refused to one may be let in by another
    /// agent, or later.
    is_refused: bool,
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

    fn under_way(&self) -> Option<&Coming> {
        self.coming.as_ref().filter(|coming| coming.has_changed().is_ok())
    }

    fn settle(&mut self, app: &str, outcome: Result<Issued, Error>, now: Duration) -> Outcome {
        self.coming = None;
        let is_overtaken = std::mem::take(&mut self.is_overtaken);
        match outcome {
            Ok(Issued { access, renew_in, good_for }) => {
                let was_good = self.current.as_ref().is_some_and(|old| !old.is_refused);
                self.discards = if was_good { 0 } else { self.discards };
                let renew_at = if is_overtaken { now } else { now + renew_in };
                let access = Arc::new(access);
                let current = Current { access, is_refused: false, renew_at, over_at: now + good_for };
                self.failed = None;
                Ok(Arc::clone(&self.current.insert(current).access))
            }
            Err(error) => {
                if let Some(old) = self.usable(now) {
                    let until = old.access.not_after();
                    tracing::warn!(app, %error, %until, "the certificate for an application is not renewed");
                }
                self.failed = (!is_overtaken).then(|| (now, error.clone()));
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
            if held.under_way().is_some() {
                held.is_overtaken = true;
            } else if let Some(current) = &mut held.current {
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
        if let Some(coming) = held.under_way() {
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
            if let Some(Current { access, is_refused, renew_at, .. }) = held.usable(now) {
                let (access, is_due) = (Arc::clone(access), *renew_at <= now);
                let pause = if *is_refused { REFUSED_FOR } else { AGAIN };
                if is_due && held.failed_within(pause, now).is_none() {
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

    fn discard(&self, refused: &Arc<Access>) -> Option<Next> {
        let slot = self.slot(refused.app());
        let mut held = lock(&slot);
        let held = &mut *held;
        let now = self.clock.boot();
        let is_under_way = held.under_way().is_some();
        let has_failed = held.failed_within(REFUSED_FOR, now).is_some();
        match &mut held.current {
            Some(current) if !Arc::ptr_eq(&current.access, refused) => {
                return Some(Box::pin(ready(Ok(Arc::clone(&current.access)))));
            }
            Some(_) if !is_under_way && has_failed => return None,
            Some(current) if !is_under_way && !current.is_refused => {
                if now < held.kept_until {
                    return None;
                }
                (current.is_refused, current.renew_at) = (true, now);
                held.kept_until = now + AGAIN * (1 << held.discards.min(DOUBLINGS));
                held.discards += 1;
            }
            _ => {}
        }
        Some(Box::pin(wait(self.begin(refused.app(), &slot, held))))
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
