//! The service as an agent runs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent::Host;
use async_trait::async_trait;
use client::Backoff;
use clock::{Clock, Timestamp};
use crypto::{Random, tls::ServerCertificate};
use domain::{
    Error, Metadata, Resource as _,
    error::Kind,
    resources::app_server::{AppServer, AppServerSpec},
};
use rustls::ServerConfig;
use service::Stop;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Metrics, Ports, SERVICE, View, assertion, labels,
    liveness::Liveness,
    recorder::Recorder,
    registry::{Registry, Served},
    serve,
};

/// How long an announcement lives: several heartbeats, so that one that is lost hides nothing.
const ANNOUNCED_FOR: Duration = Duration::from_secs(300);

/// How long what did not change is not announced again. Less than the time between two announcements that nothing asks for:
/// each of those is of everything.
const SAID_FOR: Duration = Duration::from_secs(45);

/// Who this agent is.
#[derive(Clone)]
pub struct Me {
    /// The host's id.
    pub host_id: String,
    /// The cluster.
    pub cluster: String,
    /// What is shown to proxies; follows renewals.
    pub certificate: Arc<ServerCertificate>,
    /// Time.
    pub clock: Clock,
    /// Jitter.
    pub random: Random,
}

/// Applications, served to the streams of a tunnel.
pub struct AppService {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Arc<ServerConfig>,
    hostname: String,
    /// The applications that others may believe to be here.
    announced: Mutex<BTreeMap<String, Option<Announced>>>,
}

/// What was taken, but for its end, and when.
struct Announced {
    server: AppServer,
    at: Duration,
}

/// What every connection looks at.
pub(crate) struct Shared {
    pub(crate) me: Me,
    pub(crate) clock: Clock,
    pub(crate) view: Arc<View>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) liveness: Liveness,
    pub(crate) assertions: assertion::Kept,
    pub(crate) ports: Ports,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    /// Cancelled when the agent stops.
    pub(crate) stopping: CancellationToken,
}

impl AppService {
    /// The service of a host that has joined, over the API.
    ///
    /// # Errors
    /// An application of the configuration cannot be served.
    pub fn of_host(config: Config, host: &Host) -> Result<Arc<Self>, Error> {
        let identity = host.identity();
        let me = Me {
            host_id: identity.host_id().to_owned(),
            cluster: identity.cluster().to_owned(),
            certificate: host.certificate(),
            clock: host.config().clock.clone(),
            random: host.config().random.clone(),
        };
        let view = Arc::new(View::new(&me.cluster)?);
        Self::new(config, me, view, Ports::grpc(host))
    }

    /// The service over these ports.
    ///
    /// # Errors
    /// An application of the configuration cannot be served.
    pub fn new(config: Config, me: Me, view: Arc<View>, ports: Ports) -> Result<Arc<Self>, Error> {
        let clock = me.clock.clone();
        let (hostname, metrics) = (config.hostname.clone(), config.metrics.clone());
        let tls = serve::tls(&me, &view).map_err(|error| Error::invalid(error.to_string()))?;
        let shared = Arc::new(Shared {
            registry: Arc::new(Registry::new(config, &clock)?),
            liveness: Liveness::new(Arc::clone(&ports.sessions), clock.clone(), metrics.clone()),
            assertions: assertion::Kept::new(Arc::clone(&ports.assertions), clock.clone()),
            stopping: CancellationToken::new(),
            recorder: Recorder::new(Arc::clone(&ports.journal), clock.clone(), me.random.clone()),
            metrics,
            me,
            clock,
            view,
            ports,
        });
        Ok(Arc::new(Self { shared, tls, hostname, announced: Mutex::default() }))
    }

    pub(crate) fn is_tcp(&self, app: &str) -> bool {
        self.shared.registry.find(app).is_some_and(|served| served.app.is_tcp())
    }

    /// Holds the view to the cluster, however often that breaks.
    async fn follow(&self) {
        let clock = &self.shared.clock;
        let fresh = || Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut backoff = fresh();
        loop {
            let begun = clock.monotonic();
            let error =
                self.shared.ports.changes.follow(&self.shared.view, self.shared.registry.wants_resources()).await;
            if clock.monotonic().saturating_sub(begun) > Duration::from_secs(30) {
                backoff = fresh();
            }
            tracing::warn!(%error, "lost sight of the cluster's roles and locks; looking again");
            clock.sleep(backoff.wait(&self.shared.me.random)).await;
        }
    }

    /// Takes back what was announced of all applications but these. What cannot be taken back is tried again the next time.
    async fn take_back(&self, but: &BTreeSet<String>) {
        let gone: Vec<String> = self.announced().keys().filter(|app| !but.contains(*app)).cloned().collect();
        for app in gone {
            match self.shared.ports.presence.withdraw(&self.shared.me.host_id, &app).await {
                Err(error) if error.kind != Kind::NotFound => {
                    tracing::debug!(%error, app, "could not take back an announcement; it ends by itself");
                }
                _ => drop(self.announced().remove(&app)),
            }
        }
    }

    /// What is announced of an application, but for its end.
    fn server(&self, served: &Served, proxies: &[String]) -> AppServer {
        let mut metadata = Metadata::named(served.app.name());
        metadata.labels = served.labels();
        let spec = AppServerSpec {
            version: client::API_VERSION.to_owned(),
            hostname: self.hostname.clone(),
            host_id: self.shared.me.host_id.clone(),
            app: Some(served.document()),
            proxy_ids: proxies.to_vec(),
            ..AppServerSpec::default()
        };
        let mut server = AppServer { metadata, spec, ..AppServer::default() };
        server.set_defaults();
        server
    }

    fn announced(&self) -> MutexGuard<'_, BTreeMap<String, Option<Announced>>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries changes of the view to what depends on them.
    async fn react(&self) {
        let (mut view, mut doubts) = (self.shared.view.changed(), self.shared.view.doubts());
        loop {
            view.borrow_and_update();
            let state = self.shared.view.state();
            self.shared.registry.follow(&state);
            let next_end = state.apps(self.shared.clock.now()).filter_map(|app| app.metadata.expires).min();
            tokio::select! {
                Ok(()) = view.changed() => {}
                () = self.shared.clock.sleep_until(next_end.unwrap_or(Timestamp::MAX)), if next_end.is_some() => {}
                Ok(()) = doubts.changed() => {
                    self.shared.liveness.doubt();
                    self.shared.view.touch();
                }
                else => return,
            }
        }
    }
}

#[async_trait]
impl agent::Service for AppService {
    fn name(&self) -> &'static str {
        SERVICE
    }

    async fn announce(&self, proxies: &[String]) -> Result<(), Error> {
        let (begun, expires) =
            (self.shared.clock.monotonic(), self.shared.clock.now().saturating_add(ANNOUNCED_FOR).ok());
        let all = self.shared.registry.all();
        self.take_back(&all.iter().map(|served| served.app.name().to_owned()).collect()).await;
        let mut refused = Ok(());
        for served in all {
            // All of it is taken back next.
            if self.shared.stopping.is_cancelled() {
                break;
            }
            let name = served.app.name();
            let server = self.server(&served, proxies);
            let is_known = |known: &Announced| known.server == server && begun.saturating_sub(known.at) < SAID_FOR;
            if self.announced().get(name).and_then(Option::as_ref).is_some_and(is_known) {
                continue;
            }
            self.announced().insert(name.to_owned(), None);
            let mut lasting = server.clone();
            lasting.metadata.expires = expires;
            match self.shared.ports.presence.announce(lasting).await {
                Ok(()) => {
                    served.announced.get_or_init(|| self.shared.clock.monotonic());
                    self.announced().insert(name.to_owned(), Some(Announced { server, at: begun }));
                }
                Err(error) if error.kind == Kind::Unavailable => return Err(error),
                // The others are none the worse for it.
                Err(error) => {
                    let message = format!("application {name:?}: {}", error.message);
                    refused = refused.and(Err(Error { message, ..error }));
                }
            }
        }
        refused
    }

    async fn withdraw(&self) {
        self.take_back(&BTreeSet::new()).await;
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.shared.registry.changed()
    }

    async fn prepared(&self) {
        self.shared.view.known().await;
        // Whoever is first must not find that applications are missing which the view has.
        self.shared.registry.follow(&self.shared.view.state());
        // Nor that a label is missing which its command is about to print.
        if self.shared.clock.timeout(labels::WITHIN, self.shared.registry.tried()).await.is_err() {
            tracing::warn!("the commands of labels take long; whoever depends on one is refused until it has worked");
        }
    }

    async fn run(&self, stop: Stop, over: Stop) {
        let stopping = async {
            stop.requested().await;
            self.shared.stopping.cancel();
            std::future::pending().await
        };
        // Streams that run on are judged by what changes as before.
        tokio::select! {
            () = over.requested() => {}
            () = stopping => {}
            () = self.follow() => {}
            () = self.react() => {}
            () = labels::run(&self.shared.registry, &self.shared.clock, over.clone()) => {}
            () = self.shared.recorder.run() => {}
        }
    }

    async fn finish(&self) {
        self.shared.recorder.farewell().await;
    }
}
