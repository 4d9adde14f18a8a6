//! A proxy as a whole: what it is made of, and its loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use client::Client;
use clock::Clock;
use crypto::{Random, x509::Certificate};
use net::{Gate, Listener};
use service::Stop;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tunnel::{Peer, Switchboard};

use crate::{
    Config, Identity, Metrics, Sessions, WebCertificate,
    acme::{self, Acme},
    applications::{mismatches::Mismatches, places::Places, pool::Pool},
    cookies::GUESSES,
    door::{self, Door},
    feed,
    fetch::GrpcSessions,
    names::Names,
    peers::Peers,
    sessions::SessionCache,
    tasks::Tasks,
    tls::Tls,
    view::View,
};

/// The pause after a failed accept: descriptors or memory are short, and a tight loop would not find any.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a silent or slow connection is let be while others wait and its address holds the most places.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a proxy needs from its surroundings.
pub struct Ports {
    /// Calls of the auth service, under our host certificate.
    pub client: Client,
    /// Sessions of applications; asked of the auth service when none is given.
    pub sessions: Option<Arc<dyn Sessions>>,
    /// The public certificates. Whoever made it keeps a clone, to replace them.
    pub web: Arc<WebCertificate>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// What is counted; registered by whoever made it.
    pub metrics: Metrics,
}

/// The ports of a proxy. One carries everything; further ones where separate ports are configured.
pub struct Listeners {
    /// The public port.
    pub web: Vec<Listener>,
    /// Plain ports, where an ACME authority looks for answers (HTTP-01).
    pub http: Vec<Listener>,
}

/// A proxy. Shared: the loop runs in one task, others replace its identity.
pub struct Proxy {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) identity: ArcSwap<Identity>,
    pub(crate) client: Arc<ArcSwap<Client>>,
    pub(crate) tls: Tls,
    pub(crate) auth_alpn: Vec<u8>,
    pub(crate) door: Door,
    pub(crate) view: View,
    pub(crate) switchboard: Switchboard,
    pub(crate) peers: Peers,
    pub(crate) known_peers: watch::Sender<Vec<Peer>>,
    pub(crate) sessions: SessionCache,
    pub(crate) pool: Arc<Pool>,
    pub(crate) places: Arc<Places>,
    /// Turns of those whose cookies nobody has shown before.
    pub(crate) guesses: Semaphore,
    pub(crate) mismatches: Mismatches,
    pub(crate) tasks: Tasks,
    pub(crate) acme: Acme,
    pub(crate) metrics: Metrics,
    /// The address of an auth service that connections are carried to first.
    pub(crate) auth_first: AtomicUsize,
    turn: AtomicUsize,
}

impl Proxy {
    /// A proxy that does not run yet.
    ///
    /// # Errors
    /// An authority of `identity` cannot be one.
    pub fn new(config: Config, identity: Identity, ports: Ports) -> Result<Arc<Self>, crypto::tls::Error> {
        let (clock, limits) = (ports.clock.clone(), config.limits);
        let gate = |places| Gate::new(places, limits.waiting, PATIENCE, clock.clone());
        let (known_peers, known) = watch::channel(Vec::new());
        let incarnation = ports.random.hex(8);
        let client = Arc::new(ArcSwap::from_pointee(ports.client.clone()));
        let sessions = ports.sessions.clone().unwrap_or_else(|| Arc::new(GrpcSessions(Arc::clone(&client))));
        Ok(Arc::new(Self {
            tls: Tls::new(&identity, &ports.web, &clock)?,
            auth_alpn: crypto::tls::auth_alpn(&config.cluster),
            door: Door {
                silent: gate(limits.waiting),
                handshakes: gate(limits.handshakes),
                strangers: gate(limits.strangers),
                onward: gate(limits.onward),
            },
            view: View::new(Names::new(&config.public_addresses)),
            switchboard: Switchboard::new(config.host_id.clone(), incarnation, known, clock.clone()),
            peers: Peers::default(),
            known_peers,
            sessions: SessionCache::new(sessions, clock.clone(), ports.metrics.clone()),
            mismatches: Mismatches::new(clock.clone()),
            pool: Pool::new(clock),
            places: Arc::default(),
            guesses: Semaphore::new(GUESSES),
            tasks: Tasks::default(),
            acme: Acme::default(),
            metrics: ports.metrics.clone(),
            auth_first: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            client,
            identity: ArcSwap::from_pointee(identity),
            config,
            ports,
        }))
    }

    /// Another host certificate or other host authorities from now on, and a client that uses them. Connections that
    /// stand are not touched.
    ///
    /// # Errors
    /// An authority cannot be one; nothing is changed then.
    pub fn replace(&self, identity: Identity, client: Client) -> Result<(), crypto::tls::Error> {
        self.tls.replace(&identity, &self.view.authorities())?;
        self.identity.store(Arc::new(identity));
        self.client.store(Arc::new(client));
        Ok(())
    }

    /// How many agents are attached here.
    pub fn agents(&self) -> usize {
        self.switchboard.agents()
    }

    /// The hosts of the announced applications that are below the public addresses.
    pub fn app_names(&self) -> Vec<String> {
        let mut hosts = self.view.app_hosts();
        hosts.retain(|host| self.view.names().label(host).is_some());
        hosts
    }

    /// Whether the auth service has been heard: without its authorities nobody's certificate is good.
    pub fn is_ready(&self) -> bool {
        !self.view.authorities().user.is_empty()
    }

    /// Who signs hosts' certificates: what the auth service has said last, and before that what we joined with.
    pub(crate) fn host_authorities(&self) -> Vec<Certificate> {
        self.view.authorities().hosts_or(&self.identity.load()).to_vec()
    }

    /// Counts on, for taking turns.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Serves until `stop`; then closes the ports, tells agents to go elsewhere, and waits until what runs has come to
    /// its end or is cut off.
    pub async fn run(self: Arc<Self>, listeners: Listeners, stop: Stop) {
        let _cut_off = self.tasks.guard();
        let mut accepting = JoinSet::new();
        for listener in listeners.web {
            accepting.spawn(accept(Arc::clone(&self), listener, stop.token().clone()));
        }
        for listener in listeners.http {
            accepting.spawn(acme::http::accept(Arc::clone(&self), listener, stop.token().clone()));
        }
        let until_stop = async {
            tokio::select! {
                () = stop.requested() => {}
                _ = async { tokio::join!(feed::presence(&self), acme::run(&self)) } => {}
            }
        };
        let to_the_end = async {
            until_stop.await;
            while accepting.join_next().await.is_some() {}
            self.pool.clear(None);
            self.peers.clear();
            self.tasks.finished().await;
        };
        // Streams run for hours after a stop, and locks and sessions that end concern them as before.
        tokio::select! {
            () = to_the_end => {}
            _ = async { tokio::join!(feed::changes(&self), self.pool.sweep(), self.mismatches.run(&self)) } => {}
        }
    }
}

/// Accepts until `stop`, then waits for the connections that are there.
async fn accept(proxy: Arc<Proxy>, listener: Listener, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (proxy, stop) = (Arc::clone(&proxy), stop.clone());
                    connections.spawn(async move {
                        proxy.metrics.open.inc();
                        if let Err(error) = door::connection(Arc::clone(&proxy), stream, peer, stop).await {
                            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection ended");
                        }
                        proxy.metrics.open.dec();
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    proxy.ports.clock.sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// A panic in one connection ends that connection; it is said aloud.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "connection panicked");
    }
}
