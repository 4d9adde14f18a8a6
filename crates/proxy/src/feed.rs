//! Keeps the view up to date: reads what there is, then follows changes. While the auth service is away, what was last
//! known is used.

mod withdrawn;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::{
    convert::{self, watch::Event},
    r#gen::{
        proto::{ListLocksRequest, ListResourcesRequest, paginated_resource::Resource},
        teleport::{clusterconfig::v1::GetAuthPreferenceRequest, trust::v1::GetCertAuthoritiesRequest},
        tessera::v1::{ListProxiesRequest, ProxyServer, UpsertProxyRequest},
    },
    methods::{
        proto::auth_service::{ListLocks, ListResources},
        teleport::{
            clusterconfig::v1::cluster_config_service::GetAuthPreference, trust::v1::trust_service::GetCertAuthorities,
        },
        tessera::v1::presence::{ListProxies, UpsertProxy},
    },
};
use client::{Backoff, Client, Watch, WatchKind};
use crypto::Random;
use domain::{
    AnyResource, Error, Kind,
    ca::CaType,
    resources::{AppServer, AuthPreference, CertAuthority, Lock},
};
use tunnel::Peer;

use self::withdrawn::Withdrawn;
use crate::{Address, Proxy};

/// How often all is read anew, whatever the watch has said.
const READ_ANEW: Duration = Duration::from_secs(60);

/// The same, while the auth service lets us follow nothing.
const READ_OFTEN: Duration = Duration::from_secs(3);

/// The longest pause after a watch that broke.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), LONGEST_PAUSE);

/// How often we say that we are here. Each time is a durable write.
const PRESENCE: Duration = Duration::from_secs(20);

/// How often we ask who else is. A proxy that has come is found within less than what a request waits for its agent.
const LOOK: Duration = Duration::from_secs(2);

/// How long our word that we are here is good.
const PRESENT_FOR: Duration = Duration::from_secs(90);

/// How long servers that are withdrawn are waited for, to read once for all of them: an agent that stops withdraws each of
/// its applications.
const TOGETHER: Duration = Duration::from_millis(500);

/// Servers of applications, or locks, on one page.
const PAGE: i32 = 1000;

/// Asks, follows, and asks again; never ends.
pub(crate) async fn changes(proxy: &Proxy) {
    let (mut watch, mut backoff, mut pause) = (None, BACKOFF, Duration::ZERO);
    loop {
        let began = proxy.ports.clock.monotonic();
        let ended = round(proxy, &mut watch, pause).await;
        let lasted = proxy.ports.clock.monotonic().saturating_sub(began + pause);
        pause = match ended {
            Ok(()) => {
                backoff = BACKOFF;
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(%error, "the cluster's state cannot be followed; what was last known is used");
                next_pause(&mut backoff, lasted, &proxy.ports.random)
            }
        };
    }
}

/// The pause before all is read again. It grows with rounds that break at once; one that has lasted longer than it ever is
/// has nothing to do with those before.
fn next_pause(backoff: &mut Backoff, lasted: Duration, random: &Random) -> Duration {
    if lasted >= LONGEST_PAUSE {
        *backoff = BACKOFF;
    }
    backoff.wait(random)
}

/// What a watch has said of locks since all of them were asked for: the answer may be older.
type Said = Mutex<Vec<(String, Option<Lock>)>>;

/// Reads all after a pause, and follows what changes until it is time to read anew. Until all is read, the watch of the
/// round before is followed: a lock must not wait for that.
pub(crate) async fn round(proxy: &Proxy, watch: &mut Option<Watch>, pause: Duration) -> Result<(), Error> {
    let (client, said) = (proxy.client.load_full(), Said::default());
    let until_it_breaks = async {
        if let Some(before) = watch.as_mut() {
            drop(follow(proxy, &client, before, &said).await);
        }
        std::future::pending().await
    };
    let read = async {
        proxy.ports.clock.sleep(pause).await;
        read_anew(proxy, &client, &said).await
    };
    let next = tokio::select! {
        read = read => read?,
        next = until_it_breaks => next,
    };
    match next {
        Ok(next) => {
            let over = proxy.ports.clock.timeout(READ_ANEW, follow(proxy, &client, watch.insert(next), &said)).await;
            over.unwrap_or(Ok(()))
        }
        Err(error) => {
            tracing::debug!(%error, "no watch; asking again and again");
            proxy.ports.clock.sleep(READ_OFTEN).await;
            Ok(())
        }
    }
}

/// Reads all, beside each other. The watch that is given back begins before that, so that nothing is missed.
async fn read_anew(proxy: &Proxy, client: &Client, said: &Said) -> Result<Result<Watch, Error>, Error> {
    let kinds = [Kind::CertAuthority, Kind::AppServer, Kind::AuthPreference, Kind::Lock];
    let kinds = kinds.map(|kind| WatchKind::all(kind.as_str()));
    let watch = client.watch(kinds.into()).await;
    let preference = async {
        let preference = client.call::<GetAuthPreference>(GetAuthPreferenceRequest {}).await?;
        set_preference(proxy, convert::auth_preference::from_wire(preference)?);
        Ok(())
    };
    let of_apps = async {
        proxy.view.set_servers(&servers(client).await?, proxy.ports.clock.now());
        Ok(())
    };
    let of_trust = Box::pin(authorities(proxy, client));
    tokio::try_join!(Box::pin(locks(proxy, client, said)), Box::pin(preference), of_trust, Box::pin(of_apps))?;
    Ok(watch)
}

/// Takes over what changes, until that cannot be heard any more.
async fn follow(proxy: &Proxy, client: &Client, watch: &mut Watch, said: &Said) -> Result<(), Error> {
    let mut withdrawn = Withdrawn::new(&proxy.view, &proxy.ports.clock, || async {
        proxy.ports.clock.sleep(TOGETHER).await;
        servers(client).await
    });
    loop {
        let event = tokio::select! {
            read = withdrawn.read() => {
                read?;
                continue;
            }
            event = watch.next() => convert::watch::from_wire(event?),
        };
        match event {
            Ok(Event::Put(resource)) => match *resource {
                AnyResource::AppServer(server) => withdrawn.put(server),
                AnyResource::CertAuthority(_) => authorities(proxy, client).await?,
                AnyResource::Lock(lock) => {
                    let name = lock.metadata.name.clone();
                    change_lock(proxy, said, name, Some(lock));
                }
                AnyResource::AuthPreference(preference) => set_preference(proxy, preference),
                _ => {}
            },
            Ok(Event::Delete { kind: Kind::AppServer, .. }) => withdrawn.one(),
            Ok(Event::Delete { kind: Kind::CertAuthority, .. }) => authorities(proxy, client).await?,
            Ok(Event::Delete { kind: Kind::Lock, name, .. }) => {
                change_lock(proxy, said, name, None);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "an event that is not understood"),
        }
    }
}

fn change_lock(proxy: &Proxy, said: &Said, name: String, lock: Option<Lock>) {
    proxy.view.change_lock(&name, lock.clone());
    proxy.sessions.doubt();
    said.lock().unwrap_or_else(PoisonError::into_inner).push((name, lock));
}

fn set_preference(proxy: &Proxy, preference: AuthPreference) {
    proxy.sessions.set_strict(preference.spec.locking_mode == "strict");
    proxy.view.set_preference(preference);
}

async fn authorities(proxy: &Proxy, client: &Client) -> Result<(), Error> {
    // On the heap: twelve calls at a time have no room on a stack.
    let read = CaType::CREATED.map(|ca_type| Box::pin(authority(client, ca_type)));
    let all = futures_util::future::try_join_all(read).await?.concat();
    proxy.view.set_authorities(all);
    if let Err(error) = proxy.tls.trust(&proxy.view.authorities()) {
        tracing::warn!(%error, "the authorities cannot be used");
    }
    Ok(())
}

async fn authority(client: &Client, ca_type: CaType) -> Result<Vec<CertAuthority>, Error> {
    let request = GetCertAuthoritiesRequest { r#type: ca_type.as_str().to_owned(), include_key: false };
    match client.call::<GetCertAuthorities>(request).await {
        Ok(answer) => answer.cert_authorities_v2.into_iter().map(convert::cert_authority::from_wire).collect(),
        // Only those that connections are checked against are needed.
        Err(error) if !matches!(ca_type, CaType::Host | CaType::User) => {
            tracing::debug!(%error, ca_type = ca_type.as_str(), "an authority cannot be read");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

async fn locks(proxy: &Proxy, client: &Client, said: &Said) -> Result<(), Error> {
    said.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListLocksRequest { page_size: PAGE, page_token, filter: None };
        let page = client.call::<ListLocks>(request).await?;
        for lock in page.locks {
            found.push(convert::lock::from_wire(lock)?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for (name, lock) in said.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        found.retain(|known: &Lock| known.metadata.name != name);
        found.extend(lock);
    }
    proxy.view.set_locks(found);
    Ok(())
}

async fn servers(client: &Client) -> Result<Vec<AppServer>, Error> {
    let mut found: Vec<AppServer> = Vec::new();
    let mut start_key = String::new();
    loop {
        let request = ListResourcesRequest {
            resource_type: Kind::AppServer.as_str().to_owned(),
            limit: PAGE,
            start_key,
            ..ListResourcesRequest::default()
        };
        let page = client.call::<ListResources>(request).await?;
        for resource in page.resources {
            if let Some(Resource::AppServer(server)) = resource.resource {
                found.push(convert::app_server::from_wire(server)?);
            }
        }
        start_key = page.next_key;
        if start_key.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Says that we are here, and learns who else is; never ends.
pub(crate) async fn presence(proxy: &Proxy) {
    let clock = &proxy.ports.clock;
    let mut said: Option<Duration> = None;
    loop {
        let is_due = said.is_none_or(|at| clock.monotonic().saturating_sub(at) >= PRESENCE);
        let met = async {
            if is_due {
                say_present(proxy).await?;
                said = Some(clock.monotonic());
            }
            learn(proxy).await
        };
        if let Err(error) = met.await {
            tracing::debug!(%error, "the other proxies are not known");
        }
        clock.sleep(LOOK).await;
    }
}

async fn say_present(proxy: &Proxy) -> Result<(), Error> {
    let (config, clock) = (&proxy.config, &proxy.ports.clock);
    let notices = [proxy.ports.web.notice(clock.now()), proxy.peers.notice(clock.monotonic())];
    let notices: Vec<String> = notices.into_iter().filter(|notice| !notice.is_empty()).collect();
    let addresses = |list: &[Address]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let public_addrs = addresses(&config.public_addresses);
    let server = ProxyServer {
        host_id: config.host_id.clone(),
        hostname: config.node_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // Behind a balancer others may meet another proxy there; they notice, and try again.
        peer_addr: config.peer_address.as_ref().or(public_addrs.first()).cloned().unwrap_or_default(),
        public_addrs,
        tunnel_addrs: addresses(&config.tunnel_public_addresses),
        expires: Some(convert::timestamp(clock.now() + PRESENT_FOR)),
        notice: notices.join("; "),
    };
    proxy.client.load_full().call::<UpsertProxy>(UpsertProxyRequest { proxy: Some(server) }).await.map(drop)
}

async fn learn(proxy: &Proxy) -> Result<(), Error> {
    let answer = proxy.client.load_full().call::<ListProxies>(ListProxiesRequest {}).await?;
    let named = answer.proxies.iter().filter(|server| !server.peer_addr.is_empty());
    proxy.peers.set(named.map(|server| (server.host_id.clone(), server.peer_addr.clone())).collect());
    let peers = answer.proxies.into_iter().map(|server| Peer {
        id: server.host_id,
        address: server.tunnel_addrs.into_iter().chain(server.public_addrs).next(),
    });
    let peers: Vec<Peer> = peers.collect();
    proxy.known_peers.send_if_modified(|known| {
        let is_new = *known != peers;
        *known = peers;
        is_new
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_break_at_once_come_seldom_and_one_that_lasted_begins_anew() {
        let (mut backoff, random) = (BACKOFF, Random::seeded(1));
        for _ in 0..8 {
            next_pause(&mut backoff, Duration::ZERO, &random);
        }
        assert!(next_pause(&mut backoff, Duration::from_secs(1), &random) >= LONGEST_PAUSE / 2);
        assert!(next_pause(&mut backoff, Duration::from_secs(50), &random) <= Duration::from_millis(250));
    }
}
