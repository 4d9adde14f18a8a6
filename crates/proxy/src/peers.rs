//! The other proxies: a request for an agent that is attached to one of them is carried there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crypto::tls::{ClientOptions, Trust, client_config};
use domain::role::SystemRole;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnel::{Open, OpenError, Stream, Transport, link::Opener};

use crate::{
    Identity, Proxy,
    applications::places::{Full, Holder},
    router::PEER,
    tunnels::Host,
    view::Server,
};

/// How long a dial to another proxy may take: less than a request waits for its agent.
const DIAL_WITHIN: Duration = Duration::from_secs(3);

/// One that could not be reached is let be for so many times as long as it took to find that out.
const REST: u32 = 3;

/// And at least for so long.
const LEAST_REST: Duration = Duration::from_millis(500);

/// How long it is told that one could not be reached: requests that need it come again.
const TOLD_FOR: Duration = Duration::from_secs(300);

/// The links that we hold to other proxies, made when they are needed.
#[derive(Default)]
pub(crate) struct Peers {
    /// Where each is dialled.
    addresses: Mutex<HashMap<String, String>>,
    /// Locked for as long as one is dialled: whoever needs it too waits for how that ends.
    links: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Link>>>>>,
    unreached: Mutex<BTreeMap<String, Unreached>>,
}

/// A link, and what it was made with.
type Link = (Opener, Arc<Identity>);

/// One that could not be reached: when, and until when it is not tried again.
struct Unreached {
    at: Duration,
    until: Duration,
}

impl Peers {
    /// Where the others are from now on.
    pub(crate) fn set(&self, addresses: HashMap<String, String>) {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        self.unreached().retain(|id, _| addresses.get(id).is_some_and(|address| known.get(id) == Some(address)));
        *known = addresses;
    }

    /// What an administrator should know; empty when those were reached that a request needed lately.
    pub(crate) fn notice(&self, now: Duration) -> String {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let unreached = self.unreached();
        let lately = unreached.iter().filter(|(_, unreached)| now.saturating_sub(unreached.at) < TOLD_FOR);
        let told = lately.filter_map(|(id, _)| {
            let address = addresses.get(id)?;
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

    /// Opens a stream to an agent, of this holder's, by way of a proxy that the agent has said it is attached to.
    pub(crate) async fn open(
        &self,
        proxy: &Proxy,
        server: &Server,
        holder: &Holder,
        open: Open,
    ) -> Result<Stream, OpenError> {
        let share = Some(holder.share.to_string());
        let open = Open { agent: Some(server.host_id.to_string()), share, ..open };
        let mut last = OpenError::NotConnected(server.host_id.to_string());
        for id in server.proxies.iter().filter(|id| **id != proxy.config.host_id) {
            let Some(address) = self.address(id) else { continue };
            let Some(link) = self.link(proxy, id, &address).await else { continue };
            match link.open(&open, &proxy.ports.clock).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        if let OpenError::Refused(why) = &last
            && let Some(full) = Full::heard(why)
        {
            proxy.pool.give_up_to(&server.host_id, holder, full);
        }
        Err(last)
    }

    fn address(&self, id: &str) -> Option<String> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The link to another proxy; none when it cannot be reached, or could not a moment ago.
    async fn link(&self, proxy: &Proxy, id: &str, address: &str) -> Option<Opener> {
        let link = Arc::clone(self.lock().entry(id.to_owned()).or_default());
        let mut link = link.lock().await;
        let identity = proxy.identity.load_full();
        // A link that was made with an older certificate ends with the last of its streams; the other side would end it
        // with that certificate.
        let is_good = |(link, made): &&Link| !link.is_closed() && Arc::ptr_eq(made, &identity);
        if let Some((link, _)) = link.as_ref().filter(is_good) {
            return Some(link.clone());
        }
        let clock = &proxy.ports.clock;
        let began = clock.monotonic();
        if self.unreached().get(id).is_some_and(|unreached| began < unreached.until) {
            return None;
        }
        match dial(proxy, id, address, &identity).await {
            Ok(opener) => {
                self.unreached().remove(id);
                *link = Some((opener.clone(), identity));
                Some(opener)
            }
            Err(error) => {
                tracing::debug!(peer = id, %address, %error, "the other proxy cannot be reached");
                let at = clock.monotonic();
                let until = at + (at.saturating_sub(began) * REST).max(LEAST_REST);
                self.unreached().insert(id.to_owned(), Unreached { at, until });
                None
            }
        }
    }

    fn unreached(&self) -> MutexGuard<'_, BTreeMap<String, Unreached>> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Option<Link>>>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(proxy: &Proxy, id: &str, address: &str, identity: &Identity) -> std::io::Result<Opener> {
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
    Host::of(stream.get_ref().1, &proxy.config.cluster, SystemRole::Proxy)?;
    let (opener, link) = Opener::begin(Transport::plain(stream), id, &proxy.ports.clock).await?;
    proxy.tasks.spawn(link);
    Ok(opener)
}
