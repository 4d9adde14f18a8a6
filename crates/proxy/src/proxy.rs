//! A proxy as a whole: what it is made of, and its loop.

use std::sync::Arc;

use arc_swap::ArcSwap;
use client::Client;
use clock::Clock;
use crypto::Random;
use net::Listener;
use service::Stop;

use crate::{Config, Identity, Sessions, WebCertificate};

/// What a proxy needs from its surroundings.
pub struct Ports {
    /// Calls of the auth service, under our host certificate.
    pub client: Client,
    /// Sessions of applications.
    pub sessions: Arc<dyn Sessions>,
    /// The public certificates. Whoever made it keeps a clone, to replace them.
    pub web: Arc<WebCertificate>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
}

/// The ports of a proxy. One carries everything; further ones where separate ports are configured.
pub struct Listeners {
    /// The public port.
    pub web: Vec<Listener>,
}

/// A proxy. Shared: the loop runs in one task, others replace its identity.
pub struct Proxy {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) identity: ArcSwap<Identity>,
    pub(crate) client: ArcSwap<Client>,
}

impl Proxy {
    /// A proxy that does not run yet.
    ///
    /// # Errors
    /// An authority of `identity` cannot be one.
    pub fn new(config: Config, identity: Identity, ports: Ports) -> Result<Arc<Self>, crypto::tls::Error> {
        let client = ArcSwap::from_pointee(ports.client.clone());
        Ok(Arc::new(Self { config, ports, identity: ArcSwap::from_pointee(identity), client }))
    }

    /// Another host certificate or other host authorities from now on, and a client that uses them. Connections that
    /// stand are not touched.
    ///
    /// # Errors
    /// An authority cannot be one; nothing is changed then.
    pub fn replace(&self, identity: Identity, client: Client) -> Result<(), crypto::tls::Error> {
        self.identity.store(Arc::new(identity));
        self.client.store(Arc::new(client));
        Ok(())
    }

    /// Serves until `stop`; then closes the ports, tells agents to go elsewhere, and waits until what runs has come to
    /// its end or is cut off.
    pub async fn run(self: Arc<Self>, listeners: Listeners, stop: Stop) {
        let Listeners { web } = listeners;
        drop(web);
        stop.requested().await;
    }
}
