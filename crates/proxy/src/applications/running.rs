//! Requests whose answers are being carried: they end with their sessions, as streams do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;
use tokio::sync::Notify;

use super::{
    Visit,
    credential::{self, Credential, Refused},
    upgrade,
};
use crate::{Proxy, sessions::Live};

/// The requests of one connection that run.
#[derive(Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
    /// Wakes whoever waits until something runs.
    begun: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    running: HashMap<u64, (Credential, String)>,
    /// Nothing runs, and whoever looks at what runs waits until something does.
    is_idle: bool,
}

/// A request that runs, until the last byte of its answer.
pub(crate) struct Running(Arc<Requests>, u64);

impl Requests {
    /// Begins a request, for the session of what its client has shown.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        proxy: &Proxy,
        visit: &Visit,
        app: &str,
        headers: &HeaderMap,
    ) -> Result<(Credential, Arc<Live>, Running), Refused> {
        let before = proxy.sessions.moment();
        let (credential, mut live) = credential::session(proxy, visit, app, headers).await?;
        let running = self.insert(&credential, app);
        // Of what came between the two nobody was told who looks at what runs.
        if proxy.sessions.moment() != before {
            live = credential.session(proxy, app).await?;
        }
        Ok((credential, live, running))
    }

    fn insert(self: &Arc<Self>, credential: &Credential, app: &str) -> Running {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.running.insert(id, (credential.clone(), app.to_owned()));
        if state.is_idle {
            self.begun.notify_one();
        }
        Running(Arc::clone(self), id)
    }

    /// Waits until one runs whose session is over. The connection is ended then: an answer that has begun can be broken
    /// off in no other way that every client notices.
    pub(crate) async fn is_over(&self, proxy: &Proxy) {
        let mut forgotten = proxy.sessions.forgotten();
        loop {
            self.until_busy().await;
            upgrade::again(proxy, &mut forgotten).await;
            let running: Vec<_> = self.lock().running.values().cloned().collect();
            for (credential, app) in running {
                if Box::pin(credential.session(proxy, &app)).await.is_err() {
                    tracing::info!(app, "a connection was cut off: the session of a request has ended");
                    return;
                }
            }
        }
    }

    /// Waits until something runs. There are thousands of connections on which nothing does: they have no timer, and hear
    /// of no session.
    async fn until_busy(&self) {
        loop {
            {
                let mut state = self.lock();
                state.is_idle = state.running.is_empty();
                if !state.is_idle {
                    return;
                }
            }
            self.begun.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running.remove(&self.1);
    }
}
