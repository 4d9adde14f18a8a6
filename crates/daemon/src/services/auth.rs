//! The auth service: the authority over its store, its API, the administrator's socket and the audit chain.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use audit::{
    Recorder,
    chain::{Chainer, KeyStoreSigner, Setup},
};
use auth::{Auth, Ports};
use clock::Clock;
use domain::resources::ClusterName;
use keystore::{KeyStore, SoftwareKeyStore};
use net::Listener;
use service::{Component, Stop, Supervisor};
use storage::Backend;
use store::Store;
use tokio::net::UnixListener;

use super::{AGENT, PROXY, Shared, once};
use crate::{
    backend,
    config::{AuditSink, Config},
    data_dir::DataDir,
    documents::{self, Documents},
    local_socket::{self, ADMIN},
    metrics::Metrics,
    sealing,
    server::Environment,
    settings, static_tokens,
    writable::Writable,
};

/// What the API's port is called when it is handed over.
const PORT: &str = "auth";

/// How long the last audit checkpoint may take; what it misses is linked at the next start.
const CHAIN_GRACE: Duration = Duration::from_secs(5);

/// How long the API goes on for the agent of this process once all are asked to stop. Less than the second that running calls
/// have when the server begins anew.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// A cache older than this is said in `/readyz`: decisions are made from it.
const STALE_CACHE: Duration = Duration::from_secs(5);

/// An auth service that runs.
pub(crate) struct AuthService {
    auth: Arc<Auth>,
    address: SocketAddr,
    /// The audit chain; ends last, so that its checkpoint covers everything.
    chain: Supervisor,
}

/// What was opened before anything runs.
struct Parts {
    backend: Arc<dyn Backend>,
    writable: Arc<Writable>,
    metrics: Metrics,
    keys: Arc<dyn KeyStore>,
    auth: Arc<Auth>,
    driver: store::cache::Driver,
    listener: Listener,
    admin: UnixListener,
    /// What shall be in the cluster before the server is ready.
    documents: Vec<Documents>,
    /// The cluster has not had a whole start yet.
    is_first_start: bool,
}

impl AuthService {
    /// Opens the store and everything in it, serves, and returns once the first request can be answered.
    ///
    /// # Errors
    /// When any part cannot be opened; each error says which and what to do.
    pub(crate) async fn start(shared: &Shared<'_>) -> anyhow::Result<Self> {
        let Shared { config, environment, .. } = *shared;
        let component = shared.readiness.register("auth");
        let mut parts = open(shared).await?;
        let address = parts.listener.local_addr()?;
        let chain = chain(config, environment, &parts, shared.data_dir.path()).await?;
        let (auth, writable) = (Arc::clone(&parts.auth), Arc::clone(&parts.writable));
        let (documents, is_first_start) = (std::mem::take(&mut parts.documents), parts.is_first_start);
        serve(parts, config, shared.supervisor);
        auth.cache().wait_ready().await;
        compare_pins(&auth, &config.teleport.ca_pin);
        Box::pin(static_tokens::apply(&auth, &config.auth_service.tokens)).await?;
        for documents in documents {
            Box::pin(documents.apply(&auth)).await?;
        }
        if is_first_start {
            auth.first_start_is_over().await?;
        }
        component.ready();
        let watched = Watched { writable, component, metrics: shared.metrics.clone() };
        watch_store(&auth, watched, shared.supervisor);
        tracing::info!(%address, cluster = auth.cluster(), "auth service is ready");
        Ok(Self { auth, address, chain })
    }

    /// The authority itself.
    pub(crate) fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// Where the API listens, with the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lays the last links of the audit chain, once nothing is served any more.
    pub(crate) async fn end(self) {
        self.chain.stop().soft();
        let chained = self.chain.run(CHAIN_GRACE).await;
        if !chained.cut_off.is_empty() {
            tracing::warn!("the last audit checkpoint was not written in time; the next start lays the missing links");
        }
    }
}

async fn open(shared: &Shared<'_>) -> anyhow::Result<Parts> {
    let Shared { config, environment, data_dir, metrics, .. } = *shared;
    let (clock, random) = (&environment.clock, &environment.random);
    let storage = &config.teleport.storage;
    let backend = tokio::task::spawn_blocking({
        let (storage, clock, random) = (storage.clone(), clock.clone(), random.clone());
        move || backend::open(&storage, &clock, &random)
    })
    .await??;
    let backend = environment.around_store.as_ref().map_or(Arc::clone(&backend), |around| around(backend));
    let writable = Writable::new(backend, clock.clone());
    let backend: Arc<dyn Backend> = Arc::clone(&writable) as _;
    let store = Store::new(Arc::clone(&backend), Recorder::new(config.cluster_name(), clock.clone(), random.clone()));
    // A file without a name follows the cluster that is there, so that a host that was renamed still starts.
    let stored = store.get::<ClusterName>("cluster-name").await?.map(|name| name.spec.cluster_name);
    let is_first_start = Auth::is_first_start(&store).await?;
    // Before anything is made: a mistake in them is to be mended first.
    let documents = documents(environment, is_first_start)?;
    let sealing = sealing::load(storage, data_dir.path(), random, stored.is_some())?;
    let keys: Arc<dyn KeyStore> = Arc::new(SoftwareKeyStore::new(sealing, random.clone())?);
    let listener = shared.listen(PORT, "auth_service.listen_addr", &config.auth_service.listen_addr).await?;
    let admin = local_socket::bind(data_dir.path(), ADMIN, environment.handover.as_ref())
        .context("the administrator's socket cannot be opened")?;
    let cluster_name = match &config.auth_service.cluster_name {
        Some(name) => name.clone(),
        None => stored.unwrap_or_else(|| config.cluster_name().to_owned()),
    };
    warn_about_name(&cluster_name);
    let ports = Ports {
        backend: Arc::clone(&backend),
        keystore: Arc::clone(&keys),
        clock: clock.clone(),
        random: random.clone(),
        metrics: metrics.auth.clone(),
    };
    let opened = Box::pin(Auth::open(ports, auth_config(config, cluster_name, data_dir)));
    let (auth, driver) = opened.await?;
    let metrics = metrics.clone();
    Ok(Parts { backend, writable, metrics, keys, auth, driver, listener, admin, documents, is_first_start })
}

/// The documents of the files that were given for this start.
fn documents(environment: &Environment, is_first_start: bool) -> Result<Vec<Documents>, documents::Error> {
    let bootstrap = environment.bootstrap.as_ref().filter(|path| {
        if !is_first_start {
            tracing::info!(file = %path.display(), "--bootstrap: the cluster has begun already, nothing of the file is applied");
        }
        is_first_start
    });
    bootstrap.into_iter().chain(&environment.apply_on_startup).map(|path| Documents::read(path)).collect()
}

fn warn_about_name(name: &str) {
    if spiffe::TrustDomain::parse(name).is_err() {
        tracing::warn!(
            cluster = name,
            "the cluster name is no valid SPIFFE trust domain (lower-case letters, digits, '.', '-', '_'): workload \
             identity will not be available, and the name cannot be changed later"
        );
    }
}

/// A pin in the file is for the agents of this host; one that names another cluster would have them refuse this one.
fn compare_pins(auth: &Auth, wanted: &[String]) {
    let Ok(authorities) = auth.host_certificates() else { return };
    let pins: Vec<String> = authorities.iter().map(|certificate| certificate.pin()).collect();
    if !wanted.is_empty() && !pins.iter().any(|pin| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(pin))) {
        tracing::warn!(?wanted, ?pins, "teleport.ca_pin names another cluster than this one; agents with it stay out");
    }
}

fn auth_config(config: &Config, cluster_name: String, data_dir: &DataDir) -> auth::Config {
    let service = &config.auth_service;
    let mut server_names = vec![config.teleport.nodename.clone()];
    server_names.extend(service.public_addr.iter().map(|address| address.host.clone()));
    server_names.extend(config.teleport.advertise_ip.map(|ip| ip.to_string()));
    if !matches!(service.listen_addr.host.as_str(), "0.0.0.0" | "::") {
        server_names.push(service.listen_addr.host.clone());
    }
    auth::Config {
        cluster_name,
        host_id: data_dir.host_uuid().to_owned(),
        bot_renewal_grace: service.bot_renewal_grace,
        server_names,
        preference: settings::preference(service),
        networking: settings::networking(service),
        recording: settings::recording(service),
        audit_head: Some(data_dir.path().join("audit-head")),
        audit_retention: config.teleport.storage.audit_retention_period,
    }
}

async fn chain(
    config: &Config,
    environment: &Environment,
    parts: &Parts,
    data_dir: &Path,
) -> anyhow::Result<Supervisor> {
    let signer = KeyStoreSigner::open(&*parts.backend, Arc::clone(&parts.keys)).await?;
    let sinks = config.teleport.storage.audit_events_uri.iter();
    let sinks = sinks.map(|sink| -> Box<dyn audit::sinks::Sink> {
        match sink {
            AuditSink::Stdout => Box::new(audit::sinks::StdoutSink),
            AuditSink::File(path) => Box::new(audit::sinks::FileSink::new(path.clone(), environment.clock.clone())),
        }
    });
    let setup = Setup {
        backend: Arc::clone(&parts.backend),
        cluster: parts.auth.cluster().to_owned(),
        clock: environment.clock.clone(),
        random: environment.random.clone(),
        signer: Arc::new(signer),
        sinks: sinks.collect(),
        head_file: Some(data_dir.join("audit-head")),
        backlog: Arc::clone(&parts.metrics.backlog),
    };
    let chainer = Chainer::open(setup).await.context("the audit chain cannot be continued")?;
    let supervisor = Supervisor::new(environment.clock.clone());
    let token = supervisor.stop().token().clone();
    supervisor.spawn_once("audit chain", async move {
        if let Err(error) = chainer.run(token).await {
            tracing::error!(%error, "the audit chain ended; the next start lays the missing links");
        }
    });
    Ok(supervisor)
}

fn serve(parts: Parts, config: &Config, supervisor: &Supervisor) {
    let Parts { auth, driver, listener, admin, metrics, .. } = parts;
    auth.run(driver, supervisor);
    let watches = Stop::new();
    let options =
        auth_grpc::Options { metrics: metrics.api, watches: watches.token().clone(), ..auth_grpc::Options::default() };
    once(supervisor, "api", {
        let auth = Arc::clone(&auth);
        let strangers_per_address = config.teleport.connection_limits.max_connections;
        let limits = net::Limits { strangers_per_address, ..net::Limits::default() };
        let options = auth_grpc::Options { limits, ..options.clone() };
        let others = supervisor.clone();
        move |stop| async move {
            let last = Stop::new();
            let serving = auth_grpc::serve(Arc::clone(&auth), listener, options, last.token().clone());
            let ending = async {
                stop.requested().await;
                hear_out(&others, auth.clock()).await;
                last.soft();
                outlive(&others, auth.clock(), &[AGENT, PROXY]).await;
                watches.soft();
                std::future::pending().await
            };
            let served = tokio::select! {
                served = serving => served,
                () = ending => Ok(()),
            };
            // Nobody here lives by a watch any more: what lived by one had its connection to this port.
            watches.soft();
            served
        }
    });
    once(supervisor, "administrator's socket", move |stop| {
        auth_grpc::serve_unix(auth, admin, options, stop.token().clone())
    });
}

/// Waits for the agent of this process, which stops as well: it takes its word back then, and tells what has been asked of
/// its applications.
async fn hear_out(supervisor: &Supervisor, clock: &Clock) {
    if clock.timeout(LAST_WORDS, outlive(supervisor, clock, &[AGENT])).await.is_err() {
        tracing::info!("the API stops before the agent of this process, where something is still running");
    }
}

/// Waits for the end of these tasks.
async fn outlive(supervisor: &Supervisor, clock: &Clock, tasks: &[&str]) {
    while supervisor.running().iter().any(|task| tasks.contains(&task.as_str())) {
        clock.sleep(Duration::from_millis(20)).await;
    }
}

/// What is looked at each second, and where it is said.
struct Watched {
    writable: Arc<Writable>,
    component: Component,
    metrics: Metrics,
}

/// Says in `/readyz` when decisions are made from an old view, and when nothing can be written; in `/metrics` how old.
fn watch_store(auth: &Arc<Auth>, watched: Watched, supervisor: &Supervisor) {
    let (auth, Watched { writable, component, metrics }) = (Arc::clone(auth), watched);
    supervisor.spawn_once("store", {
        let stop = supervisor.stop().clone();
        async move {
            let mut was_ill = false;
            loop {
                tokio::select! {
                    () = auth.clock().sleep(Duration::from_secs(1)) => {}
                    () = stop.requested() => return component.unready("stopping"),
                }
                let age = auth.cache().age().unwrap_or_default();
                metrics.auth.behind(age, metrics.backlog.load(Ordering::Relaxed));
                let stale = (age > STALE_CACHE).then(|| format!("the store has not answered for {} s", age.as_secs()));
                let illness = stale.or(writable.illness().await);
                match &illness {
                    Some(reason) => component.unready(reason),
                    None if was_ill => component.ready(),
                    None => {}
                }
                was_ill = illness.is_some();
            }
        }
    });
}
