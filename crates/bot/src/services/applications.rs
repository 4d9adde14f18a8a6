//! `application-tunnel` and `application-proxy`: listeners on this machine that lead to applications.

use std::{sync::Arc, time::Duration};

use app_access::{Access, Cached, Door, Issue, Keyring, Lead, Listener, lookup};
use async_trait::async_trait;
use client::{Backoff, credentials::system_authorities};
use crypto::tls;
use domain::Error;
use service::{Component, Stop};

use crate::{
    Config,
    impersonation::Impersonation,
    renewal::machine::{FIRST_WAIT, LONGEST_WAIT, left},
    run::Hub,
};

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
}

#[async_trait]
impl Issue for AsBot {
    async fn issue(&self, app: &str) -> Result<Access, Error> {
        let asked = self.hub.clock().now();
        let routed = self.grant.routed(&self.hub, app).await?;
        let web = routed.web.ok_or_else(|| {
            Error::unavailable("the cluster names no proxy to reach applications through: set proxy_server")
        })?;
        let identity = &routed.identity;
        let chain = tls::CertificateChain::new(std::slice::from_ref(identity.tls()), identity.key());
        let mut roots = system_authorities();
        roots.extend(identity.authorities().iter().cloned());
        let (clock, now) = (self.hub.clock(), self.hub.clock().now());
        // A role may have given less time than was asked for.
        let renew_in = self.interval.min(left(asked, now, identity.not_before(), identity.not_after()) / 2);
        let lead = Lead {
            app: app.to_owned(),
            is_tcp: lookup::is_tcp(&routed.app),
            web,
            chain: chain.map_err(|error| Error::internal(error.to_string()))?,
            trust: tls::Trust::Front { roots, name: routed.proxy_host },
            renew_at: now.saturating_add(renew_in).unwrap_or(identity.not_after()),
            not_after: identity.not_after(),
            public_name: routed.public_name,
        };
        tracing::info!("Generated identity for app {{{app:?}}}, reached as {}: {identity}", lead.public_name);
        Access::new(lead, clock)
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
    let issue = AsBot { hub: hub.clone(), grant: Arc::clone(&service.grant), interval: service.interval };
    let keyring: Arc<dyn Keyring> = Arc::new(Cached::new(issue, hub.clock().clone()));
    let serving =
        app_access::serve(listener, service.door.clone(), Arc::clone(&keyring), hub.clock().clone(), stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => return,
        () = keep(&hub, &service, keyring.as_ref(), &component), if !stop.is_requested() => {}
    }
    component.ready();
    serving.await;
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

/// Has a certificate ready before somebody needs it; returns at once when nobody knows yet for which application.
async fn keep(hub: &Hub, service: &Listening, keyring: &dyn Keyring, component: &Component) {
    let Door::Tunnel(app) = &service.door else { return };
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let wait = match keyring.access(app).await {
            Ok(access) => {
                component.ready();
                backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
                let left = access.renew_at().duration_since(hub.clock().now());
                Duration::try_from(left).unwrap_or_default().max(FIRST_WAIT)
            }
            Err(error) => {
                tracing::warn!(service = service.name, %error, "the application is not reached");
                component.unready(error.message);
                backoff.wait(hub.random())
            }
        };
        hub.sleep(wait).await;
    }
}
