//! The proxy: the public port, its certificate, and a host identity that it follows.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use agent::Host;
use client::{Backoff, Client};
use clock::Clock;
use domain::{Error, role::SystemRole};
use proxy::{Address, Identity, Listeners, Ports, Proxy, WebCertificate};
use service::{Component, Stop};

use super::{
    AuthService, PROXY, Shared,
    identity::{Source, outbound},
    once,
    stand_in::StandIn,
};
use crate::{
    config::{self, ProxyService as Section},
    preflight,
};

/// What the ports are called when they are handed over.
const PORTS: [&str; 3] = ["proxy", "proxy-ssh", "proxy-tunnel"];

/// The waits between two dials of an auth service that does not answer.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A proxy that runs.
pub(crate) struct ProxyService {
    address: SocketAddr,
}

impl ProxyService {
    /// Opens the ports and serves as soon as there is an identity; connections that come earlier wait.
    ///
    /// # Errors
    /// A port cannot be had, or a file of the public certificate cannot be used.
    pub(crate) async fn start(shared: &Shared<'_>, auth: Option<&AuthService>) -> anyhow::Result<Self> {
        let section = &shared.config.proxy_service;
        let component = shared.readiness.register("proxy");
        let keys = ["web_listen_addr", "listen_addr", "tunnel_listen_addr"];
        let addresses =
            [Some(&section.web_listen_addr), section.listen_addr.as_ref(), section.tunnel_listen_addr.as_ref()];
        let mut listeners = Vec::new();
        let mut opened = [None; PORTS.len()];
        for (index, ((name, key), address)) in PORTS.into_iter().zip(keys).zip(addresses).enumerate() {
            let Some(address) = address else { continue };
            let listener = shared.listen(name, &format!("proxy_service.{key}"), address).await?;
            opened[index] = Some(listener.local_addr()?);
            listeners.push(listener);
        }
        let address = listeners[0].local_addr()?;
        let public = public_addresses(shared, address.port());
        let pairs = Pairs(section.https_keypairs.clone());
        let names = plain_names(&public);
        let mut http = Vec::new();
        if let Some(address) = section.acme.as_ref().and_then(|acme| acme.http_listen_addr.as_ref()) {
            let listener = shared.listen("proxy-http", "proxy_service.acme.http_listen_addr", address).await?;
            tracing::info!(address = %listener.local_addr()?, "the proxy answers an ACME authority on a plain port");
            http.push(listener);
        }
        let source = Source::new(shared, auth, SystemRole::Proxy, names, Vec::new())?;
        let loaded = match pairs.load()? {
            files if files.is_empty() => None,
            files => {
                if let Some(advice) = preflight::uncovered(shared.config, &files) {
                    tracing::warn!("{advice}");
                }
                Some(WebCertificate::new(&files)?)
            }
        };
        let run = Run {
            source,
            component,
            config: settings(section, public, &opened)?,
            pairs,
            reload: section.https_keypairs_reload_interval,
            loaded,
            clock: shared.environment.clock.clone(),
            random: shared.environment.random.clone(),
            metrics: shared.metrics.proxy.clone(),
        };
        once(shared.supervisor, PROXY, move |stop| run.run(Listeners { web: listeners, http }, stop));
        tracing::info!(%address, "the proxy listens");
        Ok(Self { address })
    }

    /// Where the public port is, with the number that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What the proxy's task needs.
struct Run {
    source: Source,
    component: Component,
    config: proxy::Config,
    pairs: Pairs,
    reload: Duration,
    /// The public certificate of the files, when there are files.
    loaded: Option<Arc<WebCertificate>>,
    clock: Clock,
    random: crypto::Random,
    metrics: proxy::Metrics,
}

impl Run {
    async fn run(self, listeners: Listeners, stop: Stop) -> Result<(), Error> {
        let Some(host) = self.source.obtain(&self.component, &stop).await? else { return Ok(()) };
        let Some(client) = self.client(&host, &stop).await else { return Ok(()) };
        let stand_in =
            StandIn { host: &host, public: &self.config.public_addresses, clock: &self.clock, random: &self.random };
        let (web, shown) = self.web(&stand_in).await?;
        let config = proxy::Config {
            cluster: host.identity().cluster().to_owned(),
            host_id: host.identity().host_id().to_owned(),
            node_name: host.config().node_name.clone(),
            auth_addresses: host.config().auth_servers.clone(),
            ..self.config.clone()
        };
        let ports = Ports {
            sessions: None,
            client,
            web: Arc::clone(&web),
            clock: self.clock.clone(),
            random: self.random.clone(),
            metrics: self.metrics.clone(),
        };
        let proxy = Proxy::new(config, identity(&host)?, ports).map_err(unusable)?;
        tokio::join!(
            host.keep(stop.clone()),
            self.follow(&host, &proxy, &stop),
            async {
                if self.loaded.is_none() {
                    stand_in.keep(&web, &proxy, shown, &stop).await;
                }
            },
            self.reload(&web, &stop),
            self.report(&proxy, &stop),
            Arc::clone(&proxy).run(listeners, stop.clone()),
        );
        Ok(())
    }

    /// A client of the auth service, once it answers: a proxy that is started first, or in the middle of an outage, waits.
    async fn client(&self, host: &Host, stop: &Stop) -> Option<Client> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let connected = tokio::select! {
                connected = host.client() => connected,
                () = stop.requested() => return None,
            };
            let error = match connected {
                Ok(client) => return Some(client),
                Err(error) => error,
            };
            tracing::warn!(%error, "the proxy cannot reach the auth service; trying again");
            tokio::select! {
                () = self.clock.sleep(backoff.wait(&self.random)) => {}
                () = stop.requested() => return None,
            }
        }
    }

    /// The public certificates, and the names of the one that stands in for them.
    async fn web(&self, stand_in: &StandIn<'_>) -> Result<(Arc<WebCertificate>, BTreeSet<String>), Error> {
        if let Some(web) = &self.loaded {
            return Ok((Arc::clone(web), BTreeSet::new()));
        }
        let names = stand_in.names(&[]);
        let (pair, shown) = match stand_in.issue(&names).await {
            Ok(pair) => (pair, names),
            Err(error) => {
                tracing::warn!(%error, "the public port shows the host certificate for now, which is for no application");
                (of_host(stand_in.host), BTreeSet::new())
            }
        };
        let web = WebCertificate::stand_in(&[pair]).map_err(unusable)?;
        let until = if self.config.acme.is_some() { "until the ACME authority has issued one, " } else { "" };
        tracing::warn!(
            certificate = ?web.described(),
            "{until}the public port shows a certificate of the cluster's host authority, which browsers do not trust; \
             \"tctl auth export --type=tls-host\" shows that authority"
        );
        Ok((web, shown))
    }

    /// Hands renewed identities on.
    async fn follow(&self, host: &Host, proxy: &Proxy, stop: &Stop) {
        let mut changed = host.changed();
        loop {
            tokio::select! {
                () = stop.requested() => return,
                changed = changed.changed() => if changed.is_err() { return },
            }
            let Some(client) = self.client(host, stop).await else { return };
            let replaced = identity(host).and_then(|own| proxy.replace(own, client).map_err(unusable));
            if let Err(error) = replaced {
                tracing::error!(%error, "the proxy cannot use its renewed identity and goes on with the old one");
            }
        }
    }

    /// Reads the public certificate's files again at intervals.
    async fn reload(&self, web: &WebCertificate, stop: &Stop) {
        if self.reload.is_zero() || self.loaded.is_none() {
            return;
        }
        let mut told = String::new();
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = self.clock.sleep(self.reload) => {}
            }
            match self.pairs.load().and_then(|pairs| Ok(web.set(&pairs)?)) {
                Ok(is_new) => {
                    told.clear();
                    if is_new {
                        tracing::info!(certificates = ?web.described(), "https_keypairs: new certificates are in use");
                    }
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    // Files that stay broken are told of once.
                    if error != told {
                        tracing::error!(error, "https_keypairs: the old certificates stay in use");
                    }
                    told = error;
                }
            }
        }
    }

    /// Says when the cluster is known.
    async fn report(&self, proxy: &Proxy, stop: &Stop) {
        let mut was_ready = false;
        while !stop.is_requested() {
            if proxy.is_ready() != was_ready {
                was_ready = !was_ready;
                if was_ready { self.component.ready() } else { self.component.unready("the auth service is not heard") }
            }
            tokio::select! {
                () = stop.requested() => {}
                () = self.clock.sleep(LOOK_EVERY) => {}
            }
        }
        self.component.unready("stopping");
    }
}

/// The files of the public certificates.
struct Pairs(Vec<config::KeyPair>);

impl Pairs {
    fn load(&self) -> anyhow::Result<Vec<(Vec<crypto::x509::Certificate>, crypto::KeyPair)>> {
        self.0.iter().map(preflight::key_pair).collect()
    }
}

pub(super) fn unusable(error: crypto::tls::Error) -> Error {
    Error::internal(format!("a certificate cannot be used: {error}"))
}

fn identity(host: &Host) -> Result<Identity, Error> {
    let own = host.identity();
    let identity = Identity::new(own.tls().clone(), own.key().clone(), own.authorities().to_vec()).map_err(unusable)?;
    let ssh = crypto::ssh::Certificate::from_line(&own.certificates().ssh);
    let identity = ssh.and_then(|certificate| identity.with_ssh(certificate));
    identity.map_err(|error| Error::internal(format!("the SSH certificate cannot be used: {error}")))
}

/// The host certificate, as a public one.
fn of_host(host: &Host) -> (Vec<crypto::x509::Certificate>, crypto::KeyPair) {
    let own = host.identity();
    (vec![own.tls().clone()], own.key().clone())
}

/// As configured; a proxy without a public address is called as its machine.
fn public_addresses(shared: &Shared<'_>, port: u16) -> Vec<Address> {
    let configured = &shared.config.proxy_service.public_addr;
    if configured.is_empty() {
        return vec![Address::new(shared.config.teleport.nodename.clone(), port)];
    }
    // Port 0 has become another one by now.
    let port_of = |address: &config::Address| if address.port == 0 { port } else { address.port };
    configured.iter().map(|address| Address::new(address.host.clone(), port_of(address))).collect()
}

fn plain_names(public: &[Address]) -> Vec<String> {
    let mut names: Vec<String> = public.iter().map(|address| address.host.clone()).collect();
    names.dedup();
    names
}

/// `opened` are the ports in the order of [`PORTS`].
fn settings(
    section: &Section,
    public_addresses: Vec<Address>,
    opened: &[Option<SocketAddr>; 3],
) -> anyhow::Result<proxy::Config> {
    let at = |index: usize| opened[index].map(|at| Address::new(at.ip().to_string(), at.port()));
    let address = |address: &config::Address| Address::new(address.host.clone(), address.port);
    let addresses = |list: &[config::Address]| list.iter().map(address).collect();
    let acme = section.acme.as_ref().map(acme).transpose()?;
    Ok(proxy::Config {
        cluster: String::new(),
        host_id: String::new(),
        node_name: String::new(),
        public_addresses,
        listen_address: at(0).unwrap_or_else(|| Address::new("0.0.0.0", section.web_listen_addr.port)),
        ssh_listen_address: at(1),
        tunnel_listen_address: at(2),
        auth_addresses: Vec::new(),
        ssh_public_addresses: addresses(&section.ssh_public_addr),
        tunnel_public_addresses: addresses(&section.tunnel_public_addr),
        peer_address: section.peer_public_addr.as_ref().map(ToString::to_string),
        proxy_protocol: section.proxy_protocol,
        trust_x_forwarded_for: section.trust_x_forwarded_for,
        acme,
        limits: proxy::Limits::default(),
    })
}

fn acme(section: &config::Acme) -> anyhow::Result<proxy::AcmeConfig> {
    let authorities = client::system_authorities();
    if authorities.is_empty() {
        anyhow::bail!(
            "proxy_service.acme: this system knows no authority to trust {} by; install ca-certificates, or set \
             SSL_CERT_FILE",
            section.uri
        );
    }
    Ok(proxy::AcmeConfig {
        directory: section.uri.clone(),
        email: section.email.clone(),
        authorities,
        out: outbound()?,
        has_http: section.http_listen_addr.is_some(),
    })
}
