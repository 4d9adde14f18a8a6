//! Builds a server from its configuration, and holds it while it runs.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use audit::chain::{Chainer, KeyStoreSigner, Setup};
use auth::{Auth, Ports};
use clock::Clock;
use crypto::Random;
use domain::resources::ClusterName;
use keystore::{KeyStore, SoftwareKeyStore};
use net::{Listener, ListenerOptions};
use service::{Component, Handover, Outcome, Policy, Readiness, Supervisor};
use storage::Backend;
use store::Store;
use telemetry::log::Handle;
use tokio::net::{TcpListener, UnixListener};

use crate::{
    backend,
    config::{Address, AuditSink, Config},
    data_dir::DataDir,
    diagnostics, documents,
    local_socket::{self, ADMIN},
    metrics::Metrics,
    sealing, settings, static_tokens,
    writable::Writable,
};

/// Puts something between the server and its store.
pub type AroundStore = Arc<dyn Fn(Arc<dyn Backend>) -> Arc<dyn Backend> + Send + Sync>;

/// What a server is built with besides its configuration.
#[derive(Clone)]
pub struct Environment {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub random: Random,
    /// Documents that a new cluster begins with.
    pub bootstrap: Option<PathBuf>,
    /// Documents that are applied at each start.
    pub apply_on_startup: Option<PathBuf>,
    /// For tests of what a store does at its worst: dies, lags, refuses.
    pub around_store: Option<AroundStore>,
    /// The ports of the program image before this one, and where ours are kept for the next; nothing when the process
    /// never replaces itself.
    pub handover: Option<Handover>,
    /// The process's log, which the debug socket changes; nothing when the log is not the server's.
    pub log: Option<Handle>,
}

impl Environment {
    /// The machine's own clock and randomness, no documents.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            random: Random::system(),
            bootstrap: None,
            apply_on_startup: None,
            around_store: None,
            handover: None,
            log: None,
        }
    }
}

/// A server that runs.
pub struct Server {
    auth: Arc<Auth>,
    auth_addr: SocketAddr,
    diag_addr: Option<SocketAddr>,
    readiness: Readiness,
    /// What serves; ends first.
    supervisor: Supervisor,
    /// The audit chain; ends last, so that its checkpoint covers everything.
    chain: Supervisor,
    data_dir: DataDir,
    handover: Option<Handover>,
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
    /// This is the first start of the cluster.
    is_new: bool,
}

impl Server {
    /// Opens the data directory and everything in it, starts serving, and returns once the first request can be
    /// answered.
    ///
    /// # Errors
    /// When any part cannot be opened; each error says which and what to do.
    pub async fn start(config: &Config, environment: Environment) -> anyhow::Result<Self> {
        // Boxed: it holds every part of the server at once, and whoever awaits it would carry that around.
        Box::pin(Self::build(config, environment)).await
    }

    async fn build(config: &Config, environment: Environment) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(&config.teleport.data_dir, &environment.random)?;
        let supervisor = Supervisor::new(environment.clock.clone());
        let readiness = Readiness::new();
        let starting = readiness.register("auth");
        let metrics = Metrics::default();
        let diag_addr = diagnostics::start(config, &environment, &data_dir, &readiness, &metrics, &supervisor).await?;
        let parts = open(config, &environment, &data_dir, &metrics).await?;
        let auth_addr = parts.listener.local_addr()?;
        let chain = chain(config, &environment, &parts, data_dir.path()).await?;
        let (auth, is_new, writable) = (Arc::clone(&parts.auth), parts.is_new, Arc::clone(&parts.writable));
        serve(parts, config, &supervisor);
        auth.cache().wait_ready().await;
        compare_pins(&auth, &config.teleport.ca_pin);
        Box::pin(static_tokens::apply(&auth, &config.auth_service.tokens)).await?;
        let bootstrap = environment.bootstrap.as_ref().filter(|_| is_new);
        for path in bootstrap.into_iter().chain(&environment.apply_on_startup) {
            Box::pin(documents::apply(&auth, path)).await?;
        }
        starting.ready();
        watch_store(&auth, Watched { writable, component: starting, metrics }, &supervisor);
        tracing::info!(address = %auth_addr, cluster = auth.cluster(), "auth service is ready");
        let handover = environment.handover;
        Ok(Self { auth, auth_addr, diag_addr, readiness, supervisor, chain, data_dir, handover })
    }

    /// Where the API listens, with the port that the system chose.
    pub fn auth_addr(&self) -> SocketAddr {
        self.auth_addr
    }

    /// Where the diagnostics endpoint listens.
    pub fn diag_addr(&self) -> Option<SocketAddr> {
        self.diag_addr
    }

    /// The socket of the local administrator.
    pub fn admin_socket(&self) -> PathBuf {
        local_socket::path(self.data_dir.path(), ADMIN)
    }

    /// The authority, for tests that look behind the API.
    pub fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// Who is ready.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What is asked to stop: softly (finish what is there) or hard.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Waits until the server is asked to stop or cannot go on; lets calls finish for `grace`, then lays the last
    /// links of the audit chain.
    pub async fn run(self, grace: Duration) -> Outcome {
        let outcome = self.supervisor.run(grace).await;
        self.chain.stop().soft();
        let chained = self.chain.run(CHAIN_GRACE).await;
        if !chained.cut_off.is_empty() {
            tracing::warn!("the last audit checkpoint was not written in time; the next start lays the missing links");
        }
        // The sockets go with the server, unless the next image has them: a left-over one would only confuse.
        local_socket::remove(self.data_dir.path(), self.handover.as_ref());
        outcome
    }

    /// Stops softly and waits for the end.
    pub async fn stop(self, grace: Duration) -> Outcome {
        self.supervisor.stop().soft();
        self.run(grace).await
    }
}

/// What the API's port is called when it is handed over.
const AUTH: &str = "auth";

/// How long the last audit checkpoint may take; what it misses is linked at the next start.
const CHAIN_GRACE: Duration = Duration::from_secs(5);

/// A cache older than this is said in `/readyz`: decisions are made from it.
const STALE_CACHE: Duration = Duration::from_secs(5);

async fn open(
    config: &Config,
    environment: &Environment,
    data_dir: &DataDir,
    metrics: &Metrics,
) -> anyhow::Result<Parts> {
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
    let sealing = sealing::load(storage, data_dir.path(), random)?;
    let keys: Arc<dyn KeyStore> = Arc::new(SoftwareKeyStore::new(sealing, random.clone())?);
    let address = resolve(&config.auth_service.listen_addr).await?;
    let listener = listen(address, environment.handover.as_ref())
        .with_context(|| format!("auth_service.listen_addr {address} cannot be used; is another server running?"))?;
    let admin = local_socket::bind(data_dir.path(), ADMIN, environment.handover.as_ref())
        .context("the administrator's socket cannot be opened")?;
    let stored = stored_cluster(&backend, config, environment).await?;
    let is_new = stored.is_none();
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
    let (auth, driver) = Auth::open(ports, auth_config(config, cluster_name, data_dir)).await?;
    let metrics = metrics.clone();
    Ok(Parts { backend, writable, metrics, keys, auth, driver, listener, admin, is_new })
}

/// Opens the API's port, or takes it over from the image before.
fn listen(address: SocketAddr, handover: Option<&Handover>) -> anyhow::Result<Listener> {
    let options = ListenerOptions::default();
    let listener = match handover.and_then(|handover| handover.take_tcp(AUTH, address)) {
        Some(inherited) => Listener::from_tcp(TcpListener::from_std(inherited)?, options),
        None => Listener::bind(address, options)?,
    };
    if let Some(handover) = handover {
        handover.keep(AUTH, &listener)?;
    }
    Ok(listener)
}

/// The name of the cluster that the store belongs to; a file without a name follows it, so that a host that was
/// renamed still starts.
async fn stored_cluster(
    backend: &Arc<dyn Backend>,
    config: &Config,
    environment: &Environment,
) -> anyhow::Result<Option<String>> {
    let recorder = audit::Recorder::new(config.cluster_name(), environment.clock.clone(), environment.random.clone());
    let name = Store::new(Arc::clone(backend), recorder).get::<ClusterName>("cluster-name").await?;
    Ok(name.map(|name| name.spec.cluster_name))
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
    once(supervisor, "api", {
        let auth = Arc::clone(&auth);
        let strangers_per_address = config.teleport.connection_limits.max_connections;
        let limits = net::Limits { strangers_per_address, ..net::Limits::default() };
        let options = auth_grpc::Options { metrics: metrics.api.clone(), limits };
        move |stop| auth_grpc::serve(auth, listener, options, stop.token().clone())
    });
    once(supervisor, "administrator's socket", move |stop| {
        auth_grpc::serve_unix(auth, admin, metrics.api, stop.token().clone())
    });
}

/// A task that owns what it serves, and so cannot be started twice; its end is the end of the server.
fn once<F, E>(supervisor: &Supervisor, name: &str, start: impl FnOnce(service::Stop) -> F + Send + 'static)
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut start = Some(start);
    supervisor.spawn(name, Policy::Fatal, move |stop| {
        let work = start.take().map(|start| start(stop));
        async move {
            match work {
                Some(work) => work.await.map_err(anyhow::Error::from),
                None => Ok(()),
            }
        }
    });
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

pub(crate) async fn resolve(address: &Address) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let mut found = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .with_context(|| format!("\"{address}\" cannot be resolved"))?;
    found.next().with_context(|| format!("\"{address}\" has no address"))
}

#[cfg(test)]
mod tests;
