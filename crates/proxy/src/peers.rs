//! The other proxies: a request for an agent that is attached to one of them is carried there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crypto::{
    hash::sha256_hex,
    tls::{ClientOptions, Trust, client_config},
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnel::{Open, OpenError, Stream, link::Opener};

use crate::{Identity, Proxy, router::PEER, view::Server};

/// How long a dial to another proxy may take.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// How long it is told that one could not be reached: requests that need it come again.
const TOLD_FOR: Duration = Duration::from_secs(300);

/// The links that we hold to other proxies, made when they are needed.
#[derive(Default)]
pub(crate) struct Peers {
    /// Where each is dialled.
    addresses: Mutex<HashMap<String, String>>,
    links: Mutex<HashMap<String, (Opener, Arc<Identity>)>>,
    /// Those that could not be reached, and when.
    unreached: Mutex<BTreeMap<String, Duration>>,
}

impl Peers {
    /// Where the others are from now on.
    pub(crate) fn set(&self, addresses: HashMap<String, String>) {
        self.unreached().retain(|id, _| addresses.contains_key(id));
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// What an administrator should know; empty when those were reached that a request needed lately.
    pub(crate) fn notice(&self, now: Duration) -> String {
        let unreached = self.unreached();
        let lately = unreached.iter().filter(|(_, at)| now.saturating_sub(**at) < TOLD_FOR);
        let told = lately.filter_map(|(id, _)| {
            let address = self.address(id)?;
            Some(format!(
                "the proxy {id} cannot be reached at {address}, so that requests for agents that only it has a tunnel to fail \
                 here; set proxy_service.peer_public_addr there"
            ))
        });
        told.collect::<Vec<_>>().join("; ")
    }

    /// Gives up the links, each of which ends with the last of its streams: the proxy stops.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Opens a stream to an agent, of this user's, by way of a proxy that the agent has said it is attached to.
    pub(crate) async fn open(
        &self,
        proxy: &Proxy,
        server: &Server,
        user: &str,
        open: Open,
    ) -> Result<Stream, OpenError> {
        let share = Some(sha256_hex(user.as_bytes()));
        let open = Open { agent: Some(server.host_id.to_string()), share, ..open };
        let mut last = OpenError::NotConnected(server.host_id.to_string());
        for id in server.proxies.iter().filter(|id| **id != proxy.config.host_id) {
            let Some(address) = self.address(id) else { continue };
            let opened = match self.link(proxy, id, &address).await {
                Ok(link) => {
                    self.unreached().remove(id);
                    link.open(&open, &proxy.ports.clock).await
                }
                Err(error) => {
                    self.unreached().insert(id.clone(), proxy.ports.clock.monotonic());
                    tracing::debug!(peer = id, %address, %error, "the other proxy cannot be reached");
                    Err(OpenError::Lost(id.clone()))
                }
            };
            match opened {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        if matches!(last, OpenError::Refused(_)) {
            // Its link to the agent may be full: what only waits there makes room.
            proxy.pool.give_up_to(&server.host_id);
        }
        Err(last)
    }

    fn address(&self, id: &str) -> Option<String> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    async fn link(&self, proxy: &Proxy, id: &str, address: &str) -> std::io::Result<Opener> {
        let identity = proxy.identity.load_full();
        // A link that was made with an older certificate ends with the last of its streams; the other side would end it
        // with that certificate.
        let is_good = |(link, made): &&(Opener, Arc<Identity>)| !link.is_closed() && Arc::ptr_eq(made, &identity);
        if let Some((link, _)) = self.lock().get(id).filter(is_good) {
            return Ok(link.clone());
        }
        let options = ClientOptions {
            trust: Trust::Roots(proxy.host_authorities()),
            certificate: Some(identity.chain.clone()),
            alpn: vec![PEER.to_vec()],
        };
        let tls = client_config(options, &proxy.ports.clock).map_err(std::io::Error::other)?;
        let name = format!("{id}.{}", proxy.config.cluster);
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let dial = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            TlsConnector::from(tls).connect(name, tcp).await
        };
        let stream = proxy.ports.clock.timeout(DIAL_WITHIN, Box::pin(dial)).await;
        let stream = stream.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        let (opener, link) = Opener::begin(Box::new(stream), id, &proxy.ports.clock).await?;
        proxy.tasks.spawn(link);
        self.lock().insert(id.to_owned(), (opener.clone(), identity));
        Ok(opener)
    }

    fn unreached(&self) -> MutexGuard<'_, BTreeMap<String, Duration>> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Opener, Arc<Identity>)>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
