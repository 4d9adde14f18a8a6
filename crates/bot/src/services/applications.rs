//! `application-tunnel` and `application-proxy`: listeners on this machine that lead to applications.

use std::{sync::Arc, time::Duration};

use app_access::{Access, Cached, Door, Issue, Issued, Keyring, Lead, Listener, Local, lookup};
use async_trait::async_trait;
use client::{Backoff, credentials::system_authorities};
use crypto::tls;
use domain::{Error, error::Kind};
use service::{Component, Stop};
use tokio::sync::{Mutex, watch};

use crate::{
    Config,
    impersonation::{Impersonation, Sight},
    renewal::machine::{FIRST_WAIT, LONGEST_WAIT, left},
    run::Hub,
};

/// Attempts in a row to renew before the service is reported unhealthy, while the old certificate is still good.
const ATTEMPTS: u32 = 5;

/// How long one look at the applications serves for all that are asked for: a certificate and a connection each. What a role
/// shows anew is seen after so long, or when the bot is told to renew.
const LOOK: Duration = Duration::from_secs(60);

/// A service that listens.
pub(crate) struct Listening {
    /// How it is called.
    pub(crate) name: String,
    listen: String,
    door: Door,
    interval: Duration,
    grant: Arc<Impersonation>,
}

impl Listening {
    /// The services of a configuration that listen.
    pub(crate) fn of(config: &Config) -> Vec<Self> {
        let pairs = config.services.iter().zip(config.names());
        let made = pairs.filter_map(|(service, name)| {
            let door = match service.kind.name {
                "application-tunnel" => Door::Tunnel(service.text("app_name").to_owned()),
                "application-proxy" => Door::Proxy,
                _ => return None,
            };
            let grant = Arc::new(Impersonation::of(config, service, &name));
            let listen = service.text("listen").to_owned();
            Some(Self { name, listen, door, interval: config.interval_of(service), grant })
        });
        made.collect()
    }
}

/// Gets certificates as the bot.
struct AsBot {
    hub: Hub,
    grant: Arc<Impersonation>,
    interval: Duration,
    look: Mutex<Option<Look>>,
}

struct Look {
    sight: Arc<Sight>,
    /// By the boot clock.
    until: Duration,
    reload: watch::Receiver<()>,
}

impl AsBot {
    async fn sight(&self) -> Result<Arc<Sight>, Error> {
        let mut held = self.look.lock().await;
        let now = self.hub.clock().boot();
        let is_good = |look: &&Look| now < look.until && !look.reload.has_changed().unwrap_or(true);
        if let Some(look) = held.as_ref().filter(is_good) {
            return Ok(Arc::clone(&look.sight));
        }
        let reload = self.hub.reload.subscribe();
        let sight = Arc::new(self.grant.sight(&self.hub).await?);
        *held = Some(Look { sight: Arc::clone(&sight), until: self.hub.clock().boot() + LOOK, reload });
        Ok(sight)
    }
}

#[async_trait]
impl Issue for AsBot {
    async fn issue(&self, app: &str) -> Result<Issued, Error> {
        let sight = self.sight().await?;
        let asked = self.hub.clock().now();
        let routed = match self.grant.routed(&self.hub, &sight, app).await {
            Err(error) if error.kind != Kind::NotFound => {
                // Perhaps the look itself is to blame.
                *self.look.lock().await = None;
                return Err(error);
            }
            outcome => outcome?,
        };
        let web = sight.web.clone().ok_or_else(|| {
            Error::unavailable("the cluster names no proxy to reach applications through: set proxy_server")
        })?;
        let identity = &routed.identity;
        let chain = tls::CertificateChain::new(std::slice::from_ref(identity.tls()), identity.key());
        let mut roots = system_authorities();
        roots.extend(identity.authorities().iter().cloned());
        let (clock, now) = (self.hub.clock(), self.hub.clock().now());
        // A role may have given less time than was asked for.
        let good_for = left(asked, now, identity.not_before(), identity.not_after());
        let lead = Lead {
            app: app.to_owned(),
            is_tcp: lookup::is_tcp(&routed.app),
            web,
            chain: chain.map_err(|error| Error::internal(error.to_string()))?,
            trust: tls::Trust::Front { roots, name: sight.proxy_host.clone() },
            not_after: identity.not_after(),
            public_name: routed.public_name,
        };
        tracing::info!("Generated identity for app {{{app:?}}}, reached as {}: {identity}", lead.public_name);
        Ok(Issued { access: Access::new(lead, clock)?, renew_in: self.interval.min(good_for / 2), good_for })
    }
}

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, service: Arc<Listening>, component: Component, stop: Stop) {
    let Some(listener) = bind(&hub, &service, &component, &stop).await else { return };
    tracing::info!(service = service.name, listen = %listener, "listening for programs on this machine");
    tokio::select! {
        () = stop.requested() => return,
        () = hub.wait_for_identity() => {}
    }
    let (grant, interval, look) = (Arc::clone(&service.grant), service.interval, Mutex::default());
    let mut reload = hub.reload.subscribe();
    let ring = Arc::new(Cached::new(AsBot { hub: hub.clone(), grant, interval, look }, hub.clock().clone()));
    let keyring = Arc::clone(&ring) as Arc<dyn Keyring>;
    let (clock, random) = (hub.clock().clone(), hub.random().clone());
    let local = Local { listener, door: service.door.clone(), keyring, clock, random };
    tokio::select! {
        () = app_access::serve(local, stop) => {}
        () = keep(&hub, &service, &ring, &component, &mut reload) => {}
    }
}

/// Takes the address as soon as it is free.
async fn bind(hub: &Hub, service: &Listening, component: &Component, stop: &Stop) -> Option<Listener> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        match Listener::bind(&service.listen).await {
            Ok(listener) => return Some(listener),
            Err(error) => {
                tracing::error!(service = service.name, %error, "cannot listen");
                component.unready(error.message);
            }
        }
        tokio::select! {
            () = stop.requested() => return None,
            () = hub.sleep(backoff.wait(hub.random())) => {}
        }
    }
}

/// Has certificates renewed: those that are held when the bot is told to renew, or the cluster's authorities have changed; and
/// that of a tunnel before somebody needs it.
async fn keep(
    hub: &Hub,
    service: &Listening,
    ring: &Cached<AsBot>,
    component: &Component,
    reload: &mut watch::Receiver<()>,
) {
    let (mut failures, mut backoff) = (0, Backoff::new(FIRST_WAIT, LONGEST_WAIT));
    loop {
        let wait = match &service.door {
            Door::Proxy => {
                // Nobody knows yet for which application.
                component.ready();
                LONGEST_WAIT
            }
            Door::Tunnel(app) => match ring.keep(app).await {
                Ok(wait) => {
                    component.ready();
                    (failures, backoff) = (0, Backoff::new(FIRST_WAIT, LONGEST_WAIT));
                    wait.max(FIRST_WAIT)
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(service = service.name, %error, failures, "there is no new certificate");
                    if failures >= ATTEMPTS || !ring.is_good(app) {
                        component.unready(error.message);
                    }
                    backoff.wait(hub.random())
                }
            },
        };
        tokio::select! {
            () = hub.sleep(wait) => {}
            Ok(()) = reload.changed() => ring.renew(),
        }
    }
}
