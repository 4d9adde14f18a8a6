//! Certificates that do not fit the sessions that they name, on their way to the audit log: somebody has got hold of a
//! session's id and tries what it is good for.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    r#gen::tessera::v1::{AppSessionReport, AppSessionReportRequest, app_session_report::Seen},
    methods::tessera::v1::app_sessions::Report,
};
use clock::Clock;
use crypto::x509::Certificate;
use tokio::sync::Notify;

use crate::{Proxy, sessions::SessionKey};

/// How long the same is not told again.
const SAME: Duration = Duration::from_secs(60);

/// Sessions that are told of in that time; more are in the log only.
const MOST: usize = 256;

/// How long reports gather, and how long a failed call is let be.
const GATHER: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Mismatches {
    clock: Clock,
    state: Mutex<State>,
    is_due: Notify,
}

#[derive(Default)]
struct State {
    told: HashMap<SessionKey, Duration>,
    waiting: Vec<AppSessionReport>,
}

impl Mismatches {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), is_due: Notify::new() }
    }

    /// The certificate is one of our user authority; the session is another's.
    pub(crate) fn note(&self, certificate: &Certificate, client: SocketAddr, session: SessionKey) {
        let (mut state, now) = (self.lock(), self.clock.monotonic());
        state.told.retain(|_, last| now.saturating_sub(*last) < SAME);
        if state.told.len() >= MOST || state.told.contains_key(&session) {
            return;
        }
        state.told.insert(session, now);
        state.waiting.push(AppSessionReport {
            certificate: certificate.der().to_vec(),
            client_addr: client.to_string(),
            seen: Some(Seen::Mismatch("the session is another user's, another application's or another key's".into())),
        });
        self.is_due.notify_one();
    }

    /// Tells, for ever.
    pub(crate) async fn run(&self, proxy: &Proxy) {
        loop {
            self.is_due.notified().await;
            self.clock.sleep(GATHER).await;
            let reports = self.lock().waiting.clone();
            let count = reports.len();
            match proxy.client.load_full().call::<Report>(AppSessionReportRequest { reports }).await {
                Ok(_) => drop(self.lock().waiting.drain(..count)),
                Err(error) => {
                    tracing::debug!(%error, "what was seen of sessions waits for the auth service");
                    // Bounded: what is told of in a minute is.
                    let mut state = self.lock();
                    let excess = state.waiting.len().saturating_sub(MOST);
                    state.waiting.drain(..excess);
                    self.is_due.notify_one();
                }
            }
        }
    }

    /// What is not told yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Vec<AppSessionReport> {
        self.lock().waiting.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
