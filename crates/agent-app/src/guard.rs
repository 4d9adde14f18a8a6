//! Watches over one connection: asked before each request, and asks by itself while it runs.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clock::Clock;
use domain::Error;
use http::{HeaderValue, Method, StatusCode};
use rbac::{LockingMode, locks::Passed};
use tokio_util::sync::CancellationToken;

use crate::{
    Session,
    access::{self, Asked, Refusal},
    assertion, liveness,
    ports::{DialDenied, Happened, Live},
    registry::Served,
    service::Shared,
};

/// How long a decision is kept while nothing changed: it bounds how late a view that became stale is noticed in mode
/// `strict`. Changes of roles and locks end it at once.
const DECIDED_FOR: Duration = Duration::from_secs(1);

/// One session on one connection.
pub(crate) struct Guard {
    shared: Arc<Shared>,
    session: Session,
    source: Option<SocketAddr>,
    decided: Mutex<Option<Decided>>,
    liveness: liveness::Slot,
    assertion: assertion::Slot,
}

/// A yes, and what it was made from.
#[derive(Clone)]
struct Decided {
    at: Duration,
    seen: (u64, u64),
    served: Arc<Served>,
    mode: LockingMode,
}

impl Guard {
    pub(crate) fn new(shared: Arc<Shared>, session: Session, source: Option<SocketAddr>) -> Arc<Self> {
        let (liveness, assertion) = (shared.liveness.slot(session.id()), shared.assertions.slot(&session));
        Arc::new(Self { shared, session, source, decided: Mutex::default(), liveness, assertion })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Tells that the agent stops.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Whether the session may reach its application now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check(&self) -> Result<(Arc<Served>, Live), Refusal> {
        let (served, mode) = self.decide()?;
        self.live(mode).await.map(|(live, _)| (served, live))
    }

    /// Ends when the session may not go on: told of each change, and asking auth whenever its last answer has become old.
    pub(crate) async fn refused(&self) -> Refusal {
        let mut view = self.shared.view.changed();
        let mut registry = self.shared.registry.changed();
        loop {
            view.borrow_and_update();
            registry.borrow_and_update();
            let asked_again_in = match self.decide() {
                Err(refusal) => return refusal,
                Ok((_, mode)) => match self.live(mode).await {
                    Err(refusal) => return refusal,
                    Ok((_, left)) => left,
                },
            };
            let clock = &self.shared.clock;
            tokio::select! {
                Ok(()) = view.changed() => {}
                Ok(()) = registry.changed() => {}
                () = clock.sleep(asked_again_in.max(Duration::from_millis(50))) => {}
                () = clock.sleep_until(self.session.not_after()) => {}
            }
        }
    }

    /// The application, and the mode that counts when something cannot be looked up freshly.
    fn decide(&self) -> Result<(Arc<Served>, LockingMode), Refusal> {
        let shared = &self.shared;
        let seen = (shared.view.version(), shared.registry.version());
        let (now, at) = (shared.clock.now(), shared.clock.monotonic());
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decided) = decided.as_ref()
            && decided.seen == seen
            && at.saturating_sub(decided.at) < DECIDED_FOR
            && now <= self.session.not_after()
        {
            return Ok((Arc::clone(&decided.served), decided.mode));
        }
        *decided = None;
        let app = &self.session.route().name;
        let served = shared.registry.find(app).ok_or_else(|| Refusal::NotServed(app.clone()))?;
        // In this order: what is printed in between is known too late, never too early.
        let (unknown, labels) = (served.unknown(), served.labels());
        let asked = Asked {
            session: &self.session,
            labels: &labels,
            unknown: &unknown,
            cluster: &shared.me.cluster,
            host_id: &shared.me.host_id,
            // The port 0 says that the proxy has somebody's word for the address, and just anybody's.
            source: self.source.filter(|source| source.port() != 0).map(|source| source.ip()),
        };
        let (mode, passed) = access::decide(&shared.view.state(), &asked, &shared.clock)?;
        if let Passed::Stale(_) = passed {
            shared.metrics.stale_decisions.inc();
        }
        *decided = Some(Decided { at, seen, served: Arc::clone(&served), mode });
        Ok((served, mode))
    }

    async fn live(&self, mode: LockingMode) -> Result<(Live, Duration), Refusal> {
        self.shared.liveness.check(self.session.id(), &self.liveness, mode).await
    }

    /// The signed word for this application about who is calling.
    ///
    /// # Errors
    /// What auth answered.
    pub(crate) async fn assertion(&self, served: &Arc<Served>) -> Result<HeaderValue, Error> {
        self.shared.assertions.of(&self.session, served, &self.assertion).await
    }

    /// Tells the audit log that the application was not dialled.
    pub(crate) fn report(&self, denied: DialDenied) {
        let DialDenied { app, target_host, target_port, blocked, .. } = &denied;
        let (user, sid) = (self.session.user(), self.session.sid());
        tracing::warn!(user, sid, app, target_host, target_port, %blocked, "an application was not dialled");
        self.shared.recorder.happened(&self.session, self.source, Happened::DialDenied(denied));
    }

    /// Tells the audit log of a request that was answered.
    pub(crate) fn note_request(&self, method: &Method, path: &str, status: StatusCode) {
        self.shared.recorder.request(&self.session, self.source, (method, path, status));
    }

    /// Tells the audit log of a connection without requests.
    pub(crate) fn note_connection(&self) {
        self.shared.recorder.connected(&self.session, self.source);
    }

    /// Says why somebody was not let in.
    pub(crate) fn log_refusal(&self, refusal: &Refusal) {
        let (user, sid, app) = (self.session.user(), self.session.sid(), &self.session.route().name);
        tracing::info!(user, sid, app, %refusal, "refused");
        self.shared.recorder.refused(&self.session, self.source, &refusal.to_string());
    }

    /// Says why a connection was ended.
    pub(crate) fn log_cut(&self, refusal: &Refusal) {
        let (user, sid, app) = (self.session.user(), self.session.sid(), &self.session.route().name);
        tracing::info!(user, sid, app, %refusal, "ended a running connection");
        // The end of the session itself is in the log already: auth knew it first. Where nothing could be decided it has
        // none.
        if !matches!(refusal, Refusal::Ended | Refusal::Unavailable(_)) {
            self.shared.recorder.cut(&self.session, self.source, &refusal.to_string());
        }
    }
}
