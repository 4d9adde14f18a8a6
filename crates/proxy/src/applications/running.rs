//! Requests whose answers are being carried: they end with their sessions, as streams do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{credential::Credential, upgrade};
use crate::Proxy;

/// The requests of one connection that run.
#[derive(Default)]
pub(crate) struct Requests(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    running: HashMap<u64, (Credential, String)>,
}

/// A request that runs, until the last byte of its answer.
pub(crate) struct Running(Arc<Requests>, u64);

impl Requests {
    pub(crate) fn begin(self: &Arc<Self>, credential: &Credential, app: &str) -> Running {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.running.insert(id, (credential.clone(), app.to_owned()));
        Running(Arc::clone(self), id)
    }

    /// Waits until one runs whose session is over. The connection is ended then: an answer that has begun can be broken
    /// off in no other way that every client notices.
    pub(crate) async fn is_over(&self, proxy: &Proxy) {
        let mut forgotten = proxy.sessions.forgotten();
        loop {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running.remove(&self.1);
    }
}
