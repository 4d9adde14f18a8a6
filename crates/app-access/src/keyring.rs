//! Who hands out ways to applications, and when they are made anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use clock::{Clock, Timestamp};
use domain::Error;

use crate::Access;

/// After a renewal that failed while the old certificate is still good: requests do not wait for each attempt.
const AGAIN: Duration = Duration::from_secs(15);

/// Ways to applications.
#[async_trait]
pub trait Keyring: Send + Sync + 'static {
    /// The way to the application `app`.
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error>;

    /// The proxy did not take this one: the next is to be another.
    async fn discard(&self, refused: &Arc<Access>);
}

/// Gets a certificate that leads to an application.
#[async_trait]
pub trait Issue: Send + Sync + 'static {
    /// A new way to the application `app`.
    async fn issue(&self, app: &str) -> Result<Access, Error>;
}

/// One certificate for each application, renewed when it is used and due, by one of those who use it.
pub struct Cached<I> {
    issue: I,
    clock: Clock,
    slots: Mutex<HashMap<String, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Held>>;

#[derive(Default)]
struct Held {
    access: Option<Arc<Access>>,
    /// Not before this is a renewal tried again.
    not_before: Option<Timestamp>,
    /// Not before this is another one thrown away: each that follows is a session in the cluster's records.
    kept_until: Option<Timestamp>,
}

impl<I: Issue> Cached<I> {
    /// An empty ring.
    pub fn new(issue: I, clock: Clock) -> Self {
        Self { issue, clock, slots: Mutex::default() }
    }

    fn slot(&self, app: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that led nowhere are not kept, so nobody can fill the map with them.
        slots.retain(|name, slot| {
            name == app
                || slot.try_lock().map_or(true, |held| held.access.is_some() || held.kept_until.is_some())
                || Arc::strong_count(slot) > 1
        });
        Arc::clone(slots.entry(app.to_owned()).or_default())
    }
}

#[async_trait]
impl<I: Issue> Keyring for Cached<I> {
    async fn access(&self, app: &str) -> Result<Arc<Access>, Error> {
        let slot = self.slot(app);
        let mut held = slot.lock().await;
        let now = self.clock.now();
        let usable = held.access.clone().filter(|access| access.not_after() > now);
        if let Some(access) = &usable
            && (now < access.renew_at() || held.not_before.is_some_and(|wait| now < wait))
        {
            return Ok(Arc::clone(access));
        }
        match self.issue.issue(app).await {
            Ok(access) => {
                let access = Arc::new(access);
                (held.access, held.not_before) = (Some(Arc::clone(&access)), None);
                Ok(access)
            }
            Err(error) => {
                held.not_before = now.checked_add(AGAIN).ok();
                let old = usable.ok_or_else(|| error.clone())?;
                tracing::warn!(app, %error, until = %old.not_after(), "the certificate for an application is not renewed");
                Ok(old)
            }
        }
    }

    async fn discard(&self, refused: &Arc<Access>) {
        let slot = self.slot(refused.app());
        let mut held = slot.lock().await;
        let now = self.clock.now();
        let is_held = held.access.as_ref().is_some_and(|access| Arc::ptr_eq(access, refused));
        if is_held && held.kept_until.is_none_or(|until| until <= now) {
            held.access = None;
            held.kept_until = now.checked_add(AGAIN).ok();
        }
    }
}
