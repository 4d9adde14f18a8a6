//! Opening the authority: what it is made from, and what the first start makes.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use audit::{
    Recorder, ResourceMetadata, UserMetadata,
    events::{audit::RestoreDetected, cert::AuthorityCreate, config::ClusterInit, role::RoleCreate},
    failed_joins::FailedJoins,
};
use clock::Clock;
use crypto::Random;
use domain::{
    Error, Resource as _,
    ca::CaType,
    error::Kind as ErrorKind,
    presets,
    resources::{AuditConfig, AuthPreference, CertAuthority, ClusterName, NetworkingConfig, SessionRecordingConfig},
    suite::Suite,
};
use keystore::KeyStore;
use storage::{Backend, Key};
use store::{Cache, Store};

use crate::{
    Auth, Caller, audit_log::denials::Denials, certificates::Opened, cluster_config::Setting, decide::Roles,
    failure::internal, metrics::Metrics, proxies::Kept, rollback,
};

/// What the authority stands on.
pub struct Ports {
    /// Where everything is kept.
    pub backend: Arc<dyn Backend>,
    /// Where signing keys live.
    pub keystore: Arc<dyn KeyStore>,
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub random: Random,
    /// What is counted.
    pub metrics: Metrics,
}

/// What the authority is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of a new cluster; must equal that of an existing one.
    pub cluster_name: String,
    /// This server's own id.
    pub host_id: String,
    /// How long after its end a bot's identity may renew; zero switches the grace off.
    pub bot_renewal_grace: Duration,
    /// Names and addresses under which clients reach this server, for its own certificate.
    pub server_names: Vec<String>,
    /// Settings from the configuration file; those not named there keep what is stored.
    pub preference: Option<AuthPreference>,
    /// Likewise.
    pub networking: Option<NetworkingConfig>,
    /// Likewise.
    pub recording: Option<SessionRecordingConfig>,
    /// Where the newest audit checkpoint is kept outside the store.
    pub audit_head: Option<PathBuf>,
    /// How long records of the audit log are kept; for ever when nothing is said.
    pub audit_retention: Option<Duration>,
}

impl Auth {
    /// Opens the authority over its ports: makes a new cluster in an empty store, checks an existing one.
    ///
    /// The returned driver fills the cache; [`Auth::run`] drives it with everything else that goes on in the background.
    ///
    /// # Errors
    /// Conflict when the store belongs to a cluster of another name; whatever storage and the key store say.
    pub async fn open(ports: Ports, config: Config) -> Result<(Arc<Self>, store::cache::Driver), Error> {
        let recorder = Recorder::new(config.cluster_name.as_str(), ports.clock.clone(), ports.random.clone());
        let store = Store::new(Arc::clone(&ports.backend), recorder.clone());
        first_start(&store, &ports, &config).await?;
        complete(&store, &ports, &config).await?;
        notice_older_store(&store, &config).await?;
        let (cache, driver) = Cache::new(store.clone());
        let auth = Arc::new(Self {
            started_at: ports.clock.now(),
            sweeper: crate::sweep::Sweeper::default(),
            store,
            cache,
            keystore: ports.keystore,
            clock: ports.clock,
            random: ports.random,
            roles: Roles::default(),
            proxies: Kept::default(),
            signers: Opened::default(),
            failed_joins: FailedJoins::new(recorder.clone()),
            denials: Denials::new(recorder),
            epoch: AtomicU64::new(1),
            metrics: ports.metrics,
            config,
        });
        Ok((auth, driver))
    }

    /// Whether this start is the first of the cluster, or the first came to no end: what the cluster was to begin with may
    /// be missing.
    ///
    /// # Errors
    /// The store is not available.
    pub async fn is_first_start(store: &Store) -> Result<bool, Error> {
        Ok(store.get::<ClusterName>("cluster-name").await?.is_none() || store.record(&unfinished()).await?.is_some())
    }

    /// Notes that the cluster has all that its first start was to give it.
    ///
    /// # Errors
    /// The store is not available.
    pub async fn first_start_is_over(&self) -> Result<(), Error> {
        self.store.change().delete_record(unfinished()).commit().await.map(|_| ())
    }
}

/// In the store from the commit that makes a cluster until its first start is over.
fn unfinished() -> Key {
    Key::new("tessera_first_start", "unfinished")
}

/// Makes the cluster if the store is empty: name, authorities, settings and preset roles.
async fn first_start(store: &Store, ports: &Ports, config: &Config) -> Result<(), Error> {
    if let Some(existing) = store.get::<ClusterName>("cluster-name").await? {
        let name = &existing.spec.cluster_name;
        if *name != config.cluster_name {
            return Err(Error::conflict(format!(
                "the data directory belongs to cluster {name:?}, the configuration says {:?}; a cluster's name never changes: \
                 set auth_service.cluster_name to {name:?}, or use another data_dir",
                config.cluster_name
            )));
        }
        return Ok(());
    }
    forget_other_store(config)?;
    let suite = suite_of(config);
    let authorities = new_authorities(ports, &config.cluster_name, suite, CaType::CREATED.to_vec()).await?;
    let mut name = ClusterName::default();
    name.spec.cluster_name.clone_from(&config.cluster_name);
    name.spec.cluster_id = ports.random.uuid().to_string();
    name.set_defaults();
    let mut change = store.change().create(&name)?;
    for authority in &authorities {
        change = change.create(authority)?;
    }
    // There is nothing yet that a wrong clock could erase.
    change = crate::sweep::believe(change, &ports.clock).put_record(unfinished(), Vec::new(), None);
    let created = authorities.iter().map(|authority| format!("cert_authority/{}", authority.ca_type()));
    let event = ClusterInit {
        user: UserMetadata::system(&config.host_id),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: created.collect(),
    };
    match change.event(&event).commit().await {
        // Another replica was faster; its cluster is ours.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Adds what a cluster of this version has and an older one lacks. Each is its own commit, so a crash leaves nothing half.
async fn complete(store: &Store, ports: &Ports, config: &Config) -> Result<(), Error> {
    let own = Caller::own_process(&config.host_id, &config.cluster_name);
    let mut missing = Vec::new();
    for ca_type in CaType::CREATED {
        match store.get_in::<CertAuthority>(ca_type.as_str(), &config.cluster_name).await? {
            None => missing.push(ca_type),
            Some(authority) => check_keys(ports, &authority).await?,
        }
    }
    for authority in new_authorities(ports, &config.cluster_name, suite_of(config), missing).await? {
        let event = AuthorityCreate {
            resource: ResourceMetadata::new(authority.metadata.name.clone(), None, own.name()),
            user: own.user_metadata(),
            ca_type: authority.ca_type().as_str().to_owned(),
            ..AuthorityCreate::default()
        };
        keep_existing(store.change().create(&authority)?.event(&event).commit().await)?;
    }
    for role in presets::roles() {
        if store.get::<domain::resources::Role>(&role.metadata.name).await?.is_none() {
            let event = RoleCreate {
                resource: ResourceMetadata::new(role.metadata.name.clone(), None, own.name()),
                user: own.user_metadata(),
                ..RoleCreate::default()
            };
            keep_existing(store.change().create(&role)?.event(&event).commit().await)?;
        }
    }
    singleton(store, &own, config.preference.clone(), AuthPreference::default()).await?;
    singleton(store, &own, config.networking.clone(), NetworkingConfig::default()).await?;
    singleton(store, &own, config.recording.clone(), SessionRecordingConfig::default()).await?;
    singleton(store, &own, None, AuditConfig::default()).await
}

/// Stores a setting: what the file says always, a default only where nothing is stored.
async fn singleton<T: Setting>(
    store: &Store,
    own: &Caller,
    configured: Option<T>,
    mut default: T,
) -> Result<(), Error> {
    let name = T::KIND.singleton_name().unwrap_or_default();
    let stored = store.get::<T>(name).await?;
    match (configured, stored) {
        (Some(mut configured), stored) => {
            configured.set_defaults();
            configured.metadata_mut().labels.insert(domain::metadata::ORIGIN.into(), "config-file".into());
            let unchanged = stored.as_ref().is_some_and(|stored| {
                let mut stored = stored.clone();
                stored.metadata_mut().revision.clear();
                stored == configured
            });
            if !unchanged {
                let change = store.change().upsert(&configured)?;
                T::record(change, own, stored.as_ref(), &configured).commit().await?;
            }
        }
        (None, stored) => {
            default.set_defaults();
            default.metadata_mut().labels.insert(domain::metadata::ORIGIN.into(), "defaults".into());
            match &stored {
                None => {
                    let change = store.change().create(&default)?;
                    keep_existing(T::record(change, own, None, &default).commit().await)?;
                }
                // The file said it and does so no more: else nobody could change it again.
                Some(old) if old.metadata().label(domain::metadata::ORIGIN) == "config-file" => {
                    let change = store.change().upsert(&default)?;
                    T::record(change, own, stored.as_ref(), &default).commit().await?;
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn keep_existing(result: Result<store::Receipt, Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn suite_of(config: &Config) -> Suite {
    config.preference.as_ref().map_or(Suite::BalancedV1, |preference| preference.spec.signature_algorithm_suite)
}

/// Makes authorities side by side: RSA keys take most of a second each.
async fn new_authorities(
    ports: &Ports,
    cluster: &str,
    suite: Suite,
    types: Vec<CaType>,
) -> Result<Vec<CertAuthority>, Error> {
    let mut tasks = tokio::task::JoinSet::new();
    for ca_type in types {
        let (keystore, clock, random) = (Arc::clone(&ports.keystore), ports.clock.clone(), ports.random.clone());
        let cluster = cluster.to_owned();
        tasks.spawn(async move {
            ca::authority::new_authority(ca_type, &cluster, suite, &*keystore, &clock, &random).await
        });
    }
    let mut made = Vec::new();
    while let Some(result) = tasks.join_next().await {
        let authority = result.map_err(|error| internal("a certificate authority was not made", error))?;
        made.push(authority.map_err(|error| internal("a certificate authority was not made", error))?);
    }
    made.sort_by_key(|authority| authority.ca_type());
    Ok(made)
}

/// Names a missing sealing key now, not at the first signature.
async fn check_keys(ports: &Ports, authority: &CertAuthority) -> Result<(), Error> {
    let keys = ca::authority::stored_keys(authority)
        .map_err(|error| internal("a certificate authority cannot be read", error))?;
    for key in keys {
        ports.keystore.check(&key).await.map_err(|error| Error::invalid(error.to_string()))?;
    }
    Ok(())
}

/// A checkpoint beside an empty store is that of another one: what is made now would pass for a copy that was put back.
fn forget_other_store(config: &Config) -> Result<(), Error> {
    match config.audit_head.as_ref().map(fs::remove_file) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            Err(internal("the audit-head file of an earlier cluster cannot be removed from the data directory", error))
        }
        _ => Ok(()),
    }
}

/// Looks in the store for what the checkpoint kept beside it vouches for.
async fn notice_older_store(store: &Store, config: &Config) -> Result<(), Error> {
    let Some(path) = &config.audit_head else { return Ok(()) };
    let file = audit::chain::audit_head::read(path)
        .map_err(|error| internal("the audit-head file in the data directory cannot be read", error))?;
    let Some(file) = file else { return Ok(()) };
    let lost = audit::chain::older_store(&**store.backend(), &file).await.map_err(crate::failure::storage_error)?;
    let Some(lost) = lost else { return Ok(()) };
    tracing::warn!(writer = %lost.writer, links = lost.seq, "the store is older than it was: it was restored from a copy");
    let event = RestoreDetected { user: UserMetadata::system(&config.host_id), ..RestoreDetected::default() };
    rollback::note(store.change().event(&event), store.clock().now()).await?.commit().await.map(|_| ())
}
