//! Puts a bot together and runs it to its end.

use std::{net::ToSocketAddrs, ops::Deref, sync::Arc, time::Duration};

use client::{Client, Proxies, ProxyError, Web};
use clock::Clock;
use crypto::Random;
use domain::Error;
use service::{
    Component, Notifier, PidFile, Policy, Readiness, Restarts, Signal, Signals, Supervisor,
    diagnostics::{Diagnostics, Paths},
};
use telemetry::metrics::Registry;
use tokio::sync::{Mutex, watch};

use crate::{
    BotError, Config,
    authorities::Authorities,
    destination::Sink,
    identity::{BotIdentity, Exchange, State},
    metrics::Metrics,
    outputs::Output,
    renewal::driver::Driver,
    services::{self, applications::Listening},
};

/// How long tasks may take to end when the bot is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// A suspend is noticed at the latest after this much time awake.
const NAP: Duration = Duration::from_secs(30);

/// What a bot is made of.
pub struct Bot {
    /// What it is told.
    pub config: Config,
    /// Its time.
    pub clock: Clock,
    /// Its randomness.
    pub random: Random,
    /// Where the service manager listens, from `NOTIFY_SOCKET`.
    pub notify_socket: Option<String>,
    /// The way out of this network, from `HTTPS_PROXY` and its kin.
    pub proxies: Proxies,
}

impl Bot {
    /// A bot that takes from the environment what the service manager and the network's administrator put there.
    ///
    /// # Errors
    /// When a variable names a proxy that cannot be used.
    #[allow(clippy::disallowed_methods, reason = "the bot is one of the places that read the environment")]
    pub fn from_environment(config: Config, clock: Clock, random: Random) -> Result<Self, ProxyError> {
        let variable = |name: &str| std::env::var(name).ok();
        let proxies = Proxies::from_variables(variable)?;
        Ok(Self { config, clock, random, notify_socket: variable("NOTIFY_SOCKET"), proxies })
    }
}

/// What the tasks of a bot share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Shared>);

pub(crate) struct Shared {
    exchange: Exchange,
    state: Arc<State>,
    current: watch::Sender<Option<Arc<Current>>>,
    connection: Mutex<Option<(Arc<Current>, Client)>>,
    /// Somebody wants everything renewed.
    pub(crate) renew: watch::Sender<()>,
    /// The outputs are to be written again.
    pub(crate) reload: watch::Sender<()>,
    pub(crate) metrics: Metrics,
    /// The boot clock at the start.
    pub(crate) started: Duration,
}

/// The identity in force and the authorities that artifacts name.
pub(crate) struct Current {
    pub(crate) identity: BotIdentity,
    authorities: Option<Authorities>,
}

impl Deref for Hub {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Hub {
    fn new(exchange: Exchange, state: Arc<State>, metrics: Metrics) -> Self {
        let started = exchange.clock.boot();
        Self(Arc::new(Shared {
            exchange,
            state,
            current: watch::Sender::new(None),
            connection: Mutex::new(None),
            renew: watch::Sender::new(()),
            reload: watch::Sender::new(()),
            metrics,
            started,
        }))
    }
}

impl Shared {
    pub(crate) fn config(&self) -> &Config {
        &self.exchange.config
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.exchange.clock
    }

    pub(crate) fn random(&self) -> &Random {
        &self.exchange.random
    }

    pub(crate) fn expires(&self, ttl: Duration) -> prost_types::Timestamp {
        self.exchange.expires(ttl)
    }

    /// The identity in force.
    pub(crate) fn current(&self) -> Option<Arc<Current>> {
        self.current.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Current>>> {
        self.current.subscribe()
    }

    pub(crate) async fn wait_for_identity(&self) {
        // The sender lives as long as `self`.
        let _ = self.current.subscribe().wait_for(Option::is_some).await;
    }

    /// A connection that shows another identity than our own.
    pub(crate) async fn connect_as(&self, identity: &BotIdentity) -> Result<Client, Error> {
        self.exchange.connect(identity).await
    }

    /// The proxy: the one that is configured, else the one that the cluster names to `client`.
    pub(crate) async fn web(&self, client: &Client) -> Result<Option<Web>, Error> {
        if let Some(web) = self.exchange.web() {
            return Ok(Some(web));
        }
        let address = app_access::lookup::proxy_address(client).await?;
        let make = |address: String| Web::new(&address, self.exchange.proxies.clone(), self.clock().clone());
        Ok(address.map(make))
    }

    /// The connection that shows the identity in force; all tasks share it.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let current = self.current().ok_or_else(|| Error::unavailable("there is no bot identity yet"))?;
        let mut slot = self.connection.lock().await;
        if let Some((of, client)) = slot.as_ref()
            && Arc::ptr_eq(of, &current)
        {
            return Ok(client.clone());
        }
        let client = self.exchange.connect(&current.identity).await?;
        *slot = Some((current, client.clone()));
        Ok(client)
    }

    /// Puts an identity in force, with the cluster's authorities as far as they can be had.
    pub(crate) async fn publish(&self, identity: &BotIdentity) -> BotIdentity {
        let fetched = async {
            let client = self.exchange.connect(identity).await?;
            let (identity, authorities) = self.exchange.refreshed(&client, identity).await?;
            Ok::<_, Error>((client, identity, authorities))
        };
        match fetched.await {
            Ok((client, identity, authorities)) => {
                let current = Arc::new(Current { identity: identity.clone(), authorities: Some(authorities) });
                *self.connection.lock().await = Some((Arc::clone(&current), client));
                self.current.send_replace(Some(current));
                identity
            }
            Err(error) => {
                tracing::warn!(%error, "the cluster's authorities could not be read with the new identity");
                let authorities = self.current().and_then(|current| current.authorities.clone());
                self.current.send_replace(Some(Arc::new(Current { identity: identity.clone(), authorities })));
                identity.clone()
            }
        }
    }

    /// The authorities that artifacts name.
    pub(crate) async fn authorities(&self, client: &Client) -> Result<Authorities, Error> {
        let current = self.current().ok_or_else(|| Error::unavailable("there is no bot identity yet"))?;
        match &current.authorities {
            Some(authorities) => Ok(authorities.clone()),
            None => Authorities::fetch(client, current.identity.cluster()).await,
        }
    }

    /// Reads the authorities anew; when they have changed, everything that names them is written again.
    pub(crate) async fn refresh_authorities(&self) -> Result<(), Error> {
        let before = self.current().ok_or_else(|| Error::unavailable("there is no bot identity yet"))?;
        let client = self.client().await?;
        let (identity, authorities) = self.exchange.refreshed(&client, &before.identity).await?;
        if before.authorities.as_ref() == Some(&authorities) {
            return Ok(());
        }
        self.state.put_authorities(&identity).map_err(|error| Error::unavailable(error.to_string()))?;
        let after = Arc::new(Current { identity, authorities: Some(authorities) });
        // Unless there is a newer identity, which came with authorities of its own.
        let replaced = self.current.send_if_modified(|slot| {
            let same = slot.as_ref().is_some_and(|now| Arc::ptr_eq(now, &before));
            if same {
                *slot = Some(Arc::clone(&after));
            }
            same
        });
        if replaced {
            tracing::info!("the cluster's authorities have changed; writing all outputs again");
            self.reload_outputs();
        }
        Ok(())
    }

    fn renew_now(&self) {
        self.renew.send_replace(());
    }

    pub(crate) fn reload_outputs(&self) {
        self.reload.send_replace(());
    }

    /// Sleeps on the boot clock, which runs on through a suspend.
    pub(crate) async fn sleep(&self, span: Duration) {
        let until = self.clock().boot() + span;
        loop {
            let left = until.saturating_sub(self.clock().boot());
            if left.is_zero() {
                return;
            }
            self.clock().sleep(left.min(NAP)).await;
        }
    }

    /// A sleep that ends early enough for its caller to notice a set clock.
    pub(crate) async fn nap(&self, span: Duration) {
        self.clock().sleep(span.min(NAP)).await;
    }
}

/// Runs a bot: in one-shot mode until everything is written once, otherwise until it is stopped.
///
/// # Errors
/// What makes it impossible to go on, with what a person has to do.
pub async fn run(bot: Bot) -> Result<(), BotError> {
    bot.config.check_supported().map_err(BotError::Unsupported)?;
    let state = Arc::new(State::open(&bot.config.storage)?);
    // Not before the lock on the storage is ours: the file may be that of a bot which holds it.
    let pid_file = bot.config.pid_file.as_ref().map(PidFile::write).transpose();
    let _pid_file = pid_file.map_err(|error| BotError::Machine(error.to_string()))?;
    if !state.is_durable() {
        tracing::info!("storage is memory: a restart needs a new token");
    }
    let config = Arc::new(bot.config);
    let outputs = open_outputs(&config)?;
    let places = outputs.iter().map(|output| (output.name.as_str(), output.sink()));
    Sink::check_apart(std::iter::once(("storage", state.sink())).chain(places))?;
    let services = Listening::of(&config);
    if let Some((server, proxy)) = config.server().and_then(|to| Some((to.clone(), bot.proxies.describe(&to)?))) {
        tracing::info!(server, "the auth service is reached through {proxy}");
    }
    let exchange = Exchange { config, clock: bot.clock.clone(), random: bot.random, proxies: bot.proxies };
    let driver = Driver::load(exchange.clone(), Arc::clone(&state))?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    telemetry::metrics::register_process(&mut registry, bot.clock.now());
    let hub = Hub::new(exchange, state, metrics);
    if hub.config().oneshot {
        if !services.is_empty() {
            tracing::info!("one-shot mode writes outputs and starts no service");
        }
        Box::pin(once(hub, driver, outputs)).await
    } else {
        Box::pin(stay(hub, driver, Tasks { outputs, services }, registry, bot.notify_socket)).await
    }
}

/// What a bot does besides keeping its own identity.
struct Tasks {
    outputs: Vec<Output>,
    services: Vec<Listening>,
}

fn open_outputs(config: &Config) -> Result<Vec<Output>, BotError> {
    let outputs = config.services.iter().zip(config.names()).filter(|(service, _)| service.kind.is_output);
    outputs.map(|(service, name)| Output::open(config, service, name)).collect()
}

/// Everything once.
async fn once(hub: Hub, mut driver: Driver, outputs: Vec<Output>) -> Result<(), BotError> {
    let readiness = Readiness::new();
    services::identity::once(&hub, &mut driver, &readiness.register("identity")).await?;
    for output in &outputs {
        services::output::once(&hub, output, &readiness.register(&output.name)).await?;
    }
    if let Err(error) = services::heartbeat::send(&hub, true).await {
        tracing::debug!(%error, "heartbeat not sent");
    }
    tracing::info!(outputs = outputs.len(), "all outputs are written; ending, as one-shot mode says");
    Ok(())
}

/// Until stopped.
async fn stay(
    hub: Hub,
    driver: Driver,
    tasks: Tasks,
    registry: Registry,
    notify_socket: Option<String>,
) -> Result<(), BotError> {
    let machine = |error: std::io::Error| BotError::Machine(error.to_string());
    let readiness = Readiness::new();
    let supervisor = Supervisor::new(hub.clock().clone());
    serve_diagnostics(&hub, &readiness, registry, &supervisor).await?;
    start_services(&hub, driver, tasks, &readiness, &supervisor);
    let mut signals = Signals::install().map_err(machine)?;
    let notifier = Arc::new(Notifier::new(notify_socket.as_deref()).map_err(machine)?);
    let stop = supervisor.stop().clone();
    supervisor.spawn_once("announce", announce(readiness, Arc::clone(&notifier), stop.clone()));
    let listen = async {
        loop {
            match signals.next().await {
                Signal::Stop | Signal::StopGracefully => {
                    tracing::info!("stopping");
                    notifier.stopping();
                    stop.soft();
                }
                Signal::Reload | Signal::User1 => hub.renew_now(),
                Signal::User2 => {}
            }
        }
    };
    let outcome = tokio::select! {
        outcome = supervisor.run(GRACE) => outcome,
        () = listen => return Ok(()),
    };
    match outcome.fatal {
        Some(error) => Err(BotError::Machine(error.to_string())),
        None => Ok(()),
    }
}

/// Tells the service manager when everything works for the first time.
async fn announce(readiness: Readiness, notifier: Arc<Notifier>, stop: service::Stop) {
    tokio::select! {
        () = readiness.ready() => notifier.ready(),
        () = stop.requested() => {}
    }
}

fn start_services(hub: &Hub, driver: Driver, all: Tasks, readiness: &Readiness, supervisor: &Supervisor) {
    let component = readiness.register("identity");
    let mut driver = Some(driver);
    let identity_hub = hub.clone();
    // The driver cannot be had a second time; a panic in it ends the process, and a restart finds the state durable.
    supervisor.spawn("identity", Policy::Fatal, move |stop| {
        let (hub, driver, component) = (identity_hub.clone(), driver.take(), component.clone());
        async move {
            match driver {
                Some(driver) => Box::pin(services::identity::run(hub, driver, component, stop)).await,
                None => return Err("the identity task cannot be started again"),
            }
            Ok(())
        }
    });
    type Task = fn(Hub, Component, service::Stop) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let tasks: [(&str, Task); 2] = [
        ("heartbeat", |hub, component, stop| Box::pin(services::heartbeat::run(hub, component, stop))),
        ("ca-rotation", |hub, component, stop| Box::pin(services::authorities::run(hub, component, stop))),
    ];
    for (name, task) in tasks {
        let (hub, component) = (hub.clone(), readiness.register(name));
        supervisor.spawn(name, Policy::Restart(Restarts::default()), move |stop| {
            let ended = task(hub.clone(), component.clone(), stop);
            async move {
                ended.await;
                Ok::<(), BotError>(())
            }
        });
    }
    for output in all.outputs {
        let (hub, component, output) = (hub.clone(), readiness.register(&output.name), Arc::new(output));
        supervisor.spawn(output.name.clone(), Policy::Restart(Restarts::default()), move |stop| {
            let (hub, component, output) = (hub.clone(), component.clone(), Arc::clone(&output));
            async move {
                services::output::run(hub, output, component, stop).await;
                Ok::<(), BotError>(())
            }
        });
    }
    for service in all.services {
        let (hub, component, service) = (hub.clone(), readiness.register(&service.name), Arc::new(service));
        supervisor.spawn(service.name.clone(), Policy::Restart(Restarts::default()), move |stop| {
            let (hub, component, service) = (hub.clone(), component.clone(), Arc::clone(&service));
            async move {
                services::applications::run(hub, service, component, stop).await;
                Ok::<(), BotError>(())
            }
        });
    }
}

async fn serve_diagnostics(
    hub: &Hub,
    readiness: &Readiness,
    registry: Registry,
    supervisor: &Supervisor,
) -> Result<(), BotError> {
    let Some(address) = &hub.config().diag_addr else { return Ok(()) };
    let refuse = |reason: String| BotError::Machine(format!("diag_addr {address}: {reason}"));
    let mut found = address.to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    let found = found.next().ok_or_else(|| refuse("no such address".into()))?;
    let listener = Diagnostics::bind(found).await.map_err(|error| refuse(error.to_string()))?;
    tracing::info!(address = %found, "diagnostics endpoint");
    let (registry, clock) = (Arc::new(registry), hub.clock().clone());
    let (readiness, debug) = (readiness.clone(), hub.config().debug);
    let diagnostics = Diagnostics { paths: Paths::Bot, readiness, registry, clock, debug, log: None };
    let (listener, inner) = (Arc::new(listener), supervisor.clone());
    supervisor.spawn("diagnostics", Policy::Restart(Restarts::default()), move |stop| {
        diagnostics.clone().serve(Arc::clone(&listener), inner.clone(), stop)
    });
    Ok(())
}
