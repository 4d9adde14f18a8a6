//! What this agent knows of the cluster: roles, locks, user authorities, the locking mode, `app` resources. Fed by the
//! API's watch, and always knowing how fresh it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use api::convert::watch::Event;
use clock::Timestamp;
use crypto::{tls::TrustedClients, x509::Certificate};
use domain::{
    AnyResource, Error, Kind, Resource as _,
    ca::CaType,
    resources::{App, cert_authority::CertAuthority, lock::Lock},
};
use rbac::{CompiledRole, LockingMode};
use tokio::sync::watch;

/// The view. Clones of `State` are cheap; whoever waits is told of each change.
pub struct View {
    cluster: String,
    state: RwLock<Arc<State>>,
    trusted: Arc<TrustedClients>,
    changed: watch::Sender<u64>,
    doubts: watch::Sender<u64>,
}

/// What is known at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    roles: BTreeMap<String, Arc<CompiledRole>>,
    locks: BTreeMap<String, Arc<Lock>>,
    apps: BTreeMap<String, Arc<App>>,
    user_authorities: Vec<Certificate>,
    locking_mode: LockingMode,
    as_of: Option<Duration>,
}

impl View {
    /// A view that knows nothing yet, of this cluster.
    ///
    /// # Errors
    /// In practice never.
    pub fn new(cluster: &str) -> Result<Self, Error> {
        let trusted = TrustedClients::new(&[]).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self {
            cluster: cluster.to_owned(),
            state: RwLock::default(),
            trusted,
            changed: watch::Sender::new(0),
            doubts: watch::Sender::new(0),
        })
    }

    /// Everything anew, as of this moment on the clock that nobody sets back.
    pub fn replace(&self, resources: Vec<AnyResource>, as_of: Duration) {
        self.change(|state| {
            *state = State { as_of: Some(as_of), ..State::default() };
            for resource in resources {
                state.put(resource, &self.cluster);
            }
        });
        // What happened to users in between is not known.
        self.doubt();
    }

    /// One change.
    pub fn apply(&self, event: Event) {
        match event {
            Event::Put(resource) => {
                let kind = resource.kind();
                if kind != Kind::User {
                    self.change(|state| state.put(*resource, &self.cluster));
                }
                // A lock may hit a role of whoever took on somebody's name: only auth knows which those are.
                if matches!(kind, Kind::User | Kind::Lock) {
                    self.doubt();
                }
            }
            Event::Delete { kind: Kind::User, .. } => self.doubt(),
            Event::Delete { kind, sub_kind, name } => {
                self.change(|state| state.delete(kind, &sub_kind, &name, &self.cluster))
            }
            Event::Init(_) | Event::StaticTokens(_) => {}
        }
    }

    /// Nothing was missed up to this moment on the clock that nobody sets back.
    pub fn mark(&self, as_of: Duration) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut state).as_of = Some(as_of);
    }

    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until everything is known: before that, nobody's certificate is taken.
    pub(crate) async fn known(&self) {
        let mut changed = self.changed();
        while self.state().as_of.is_none() && changed.changed().await.is_ok() {}
    }

    /// Told after each change.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Counts the changes.
    pub(crate) fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// Makes everybody decide anew, without a change of its own.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Told when something happened by which sessions may have ended that auth alone knows of.
    pub(crate) fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    fn doubt(&self) {
        self.doubts.send_modify(|count| *count += 1);
    }

    /// Whose certificates are accepted, in a handshake or a proof.
    pub(crate) fn trusted(&self) -> Arc<TrustedClients> {
        Arc::clone(&self.trusted)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut state));
        if let Err(error) = self.trusted.set(&state.user_authorities) {
            tracing::error!(%error, "the cluster's user authorities cannot be used; those of before stay");
        }
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }
}

impl State {
    /// A role that exists now: one past its end is deleted some time later.
    pub(crate) fn role(&self, name: &str, now: Timestamp) -> Option<Arc<CompiledRole>> {
        self.roles.get(name).filter(|role| !role.role().metadata.is_expired(now)).cloned()
    }

    pub(crate) fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.locks.values().map(|lock| &**lock)
    }

    /// The `app` resources that exist now.
    pub(crate) fn apps(&self, now: Timestamp) -> impl Iterator<Item = &App> {
        self.apps.values().map(|app| &**app).filter(move |app| !app.metadata.is_expired(now))
    }

    pub(crate) fn user_authorities(&self) -> &[Certificate] {
        &self.user_authorities
    }

    pub(crate) fn locking_mode(&self) -> LockingMode {
        self.locking_mode
    }

    /// Up to when nothing was missed; none: nothing is known yet.
    pub(crate) fn as_of(&self) -> Option<Duration> {
        self.as_of
    }

    fn put(&mut self, resource: AnyResource, cluster: &str) {
        match resource {
            AnyResource::Role(role) => {
                let name = role.name().to_owned();
                self.roles.insert(name, Arc::new(CompiledRole::new(role)));
            }
            AnyResource::Lock(lock) => drop(self.locks.insert(lock.name().to_owned(), Arc::new(lock))),
            AnyResource::App(app) => drop(self.apps.insert(app.name().to_owned(), Arc::new(app))),
            AnyResource::AuthPreference(preference) => {
                self.locking_mode = LockingMode::parse(&preference.spec.locking_mode).unwrap_or_default();
            }
            AnyResource::CertAuthority(authority)
                if authority.spec.ca_type == CaType::User && authority.spec.cluster_name == cluster =>
            {
                self.user_authorities = certificates(&authority);
            }
            _ => {}
        }
    }

    fn delete(&mut self, kind: Kind, sub_kind: &str, name: &str, cluster: &str) {
        match kind {
            Kind::Role => drop(self.roles.remove(name)),
            Kind::Lock => drop(self.locks.remove(name)),
            Kind::App => drop(self.apps.remove(name)),
            Kind::AuthPreference => self.locking_mode = LockingMode::default(),
            Kind::CertAuthority if sub_kind == CaType::User.as_str() && name == cluster => {
                self.user_authorities.clear()
            }
            _ => {}
        }
    }
}

/// What the authority signs with, now or after a rotation.
fn certificates(authority: &CertAuthority) -> Vec<Certificate> {
    let sets = [&authority.spec.active_keys, &authority.spec.additional_trusted_keys];
    let pairs = sets.into_iter().flat_map(|set| &set.tls);
    pairs.filter_map(|pair| Certificate::many_from_pem(&String::from_utf8_lossy(&pair.cert.0)).ok()).flatten().collect()
}
