//! What goes on beside the requests: the cache, what depends on it, the audit chain, sweeping.

use std::{sync::Arc, time::Duration};

use domain::{Error, Kind};
use service::{Policy, Restarts, Supervisor};
use store::cache::Changed;
use tokio::sync::broadcast::error::RecvError;

use crate::Auth;

/// How often merged denials are written.
const FLUSH_DENIALS: Duration = Duration::from_secs(2);

impl Auth {
    /// Starts everything that goes on in the background, under `supervisor`.
    pub fn run(self: &Arc<Self>, driver: store::cache::Driver, supervisor: &Supervisor) {
        supervisor.spawn_once("cache", {
            let stop = supervisor.stop().clone();
            async move {
                tokio::select! {
                    () = driver.run() => {}
                    () = stop.requested() => {}
                }
            }
        });
        let auth = Arc::clone(self);
        supervisor.spawn("forget-changed", Policy::Restart(Restarts::default()), move |stop| {
            let auth = Arc::clone(&auth);
            async move { auth.forget_changed(stop).await }
        });
        let (auth, token) = (Arc::clone(self), supervisor.stop().token().clone());
        supervisor.spawn_once("failed-joins", async move {
            auth.failed_joins.clone().run(Arc::clone(auth.store.backend()), auth.clock.clone(), token).await;
        });
        let auth = Arc::clone(self);
        supervisor.spawn("sweep", Policy::Restart(Restarts::default()), move |stop| Arc::clone(&auth).sweep(stop));
        let auth = Arc::clone(self);
        supervisor.spawn("denials", Policy::Restart(Restarts::default()), move |stop| {
            let auth = Arc::clone(&auth);
            async move {
                loop {
                    let stopping = tokio::select! {
                        () = auth.clock.sleep(FLUSH_DENIALS) => false,
                        () = stop.requested() => true,
                    };
                    auth.denials.flush(&**auth.store.backend(), stopping).await;
                    if stopping {
                        return Ok::<(), Error>(());
                    }
                }
            }
        });
    }

    /// Drops what was made from a role or an authority when it changes, and moves the epoch so that live connections
    /// decide again who they are.
    async fn forget_changed(&self, stop: service::Stop) -> Result<(), Error> {
        let mut changes = self.cache.subscribe();
        // Whatever changed before we listened.
        self.forget_all();
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                () = stop.requested() => return Ok(()),
            };
            match changed {
                Ok(Changed::Resource { kind: Kind::Role, .. }) => self.roles.forget(),
                Ok(Changed::Resource { kind: Kind::CertAuthority, .. }) => self.forget_signers(),
                Ok(Changed::Resource { kind: Kind::User | Kind::Lock | Kind::AuthPreference, .. }) => {}
                Ok(Changed::Resource { .. }) => continue,
                Ok(Changed::Everything) | Err(RecvError::Lagged(_)) => self.forget_all(),
                Err(RecvError::Closed) => return Ok(()),
            }
            self.next_epoch();
        }
    }

    fn forget_all(&self) {
        self.roles.forget();
        self.forget_signers();
        self.next_epoch();
    }
}
