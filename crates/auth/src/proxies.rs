//! Which proxies there are: each says so itself, every few minutes.

use std::{sync::Arc, time::Duration};

use clock::Timestamp;
use domain::{Error, Kind, names, role::SystemRole};
use rbac::{RuleContext, Verb};
use serde::{Deserialize, Serialize};
use storage::{Key, Prefix};
use store::settle;
use tokio::sync::Mutex;

use crate::{
    Auth, Caller, Operation,
    apps::servers::refuse_other_host,
    decide::Asked,
    failure::{internal, storage_error},
    joining::known,
};

const PROXY: &str = "tessera_proxy";

/// How long a proxy is listed after it last said that it is there, at most. Agents dial every proxy that is listed.
pub const PRESENCE: Duration = Duration::from_secs(120);

/// The same at least: proxies say so every twenty seconds, and one whose clock is behind means a time that is almost over.
const SHORTEST_PRESENCE: Duration = Duration::from_secs(60);

/// The most addresses of one proxy, and the longest of them.
const MOST_ADDRESSES: usize = 32;
const LONGEST: usize = 300;

/// The longest word about itself.
const LONGEST_NOTICE: usize = 2000;

/// The most proxies that are listed.
const MOST: usize = 1000;

/// How long what is known about their addresses is used again: every agent and every proxy asks for it every few seconds.
/// What another server was told acts so much later here.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// A proxy, by its own word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxy {
    /// The id of its host.
    pub host_id: String,
    /// The name of its host.
    pub hostname: String,
    /// Its version.
    pub version: String,
    /// Where people and programs reach it.
    pub public_addrs: Vec<String>,
    /// Where agents dial; empty: as `public_addrs`.
    pub tunnel_addrs: Vec<String>,
    /// Where other proxies dial; empty: nowhere.
    pub peer_addr: String,
    /// Until when it is listed.
    pub expires: Option<Timestamp>,
    /// What an administrator should know about it.
    pub notice: String,
}

/// Stores what a proxy says about itself, and returns until when it is listed. Not audited: it comes every minute.
///
/// # Errors
/// Denied, also for another host; invalid.
pub async fn upsert(auth: &Auth, caller: &Caller, mut proxy: Proxy) -> Result<Timestamp, Error> {
    for verb in [Verb::Create, Verb::Update] {
        permit(auth, caller, Operation::UpsertProxy, verb)?;
    }
    refuse_other_host(caller, &proxy.host_id)?;
    names::UUID.check("host_id", &proxy.host_id)?;
    let lists = [&proxy.public_addrs, &proxy.tunnel_addrs];
    let texts = [&proxy.hostname, &proxy.version, &proxy.peer_addr];
    let is_long = |text: &&String| text.len() > LONGEST || text.chars().any(char::is_control);
    let is_bad = texts.iter().any(is_long) || lists.iter().any(|list| list.iter().any(|text| is_long(&text)));
    if is_bad || lists.iter().any(|list| list.len() > MOST_ADDRESSES) {
        return Err(Error::invalid(format!(
            "proxy: at most {MOST_ADDRESSES} addresses, each of at most {LONGEST} visible characters"
        )));
    }
    proxy.notice = plain(&proxy.notice);
    let after = |span| auth.clock.now().saturating_add(span).unwrap_or(Timestamp::MAX);
    let (earliest, latest) = (after(SHORTEST_PRESENCE), after(PRESENCE));
    let expires = proxy.expires.map_or(latest, |asked| asked.clamp(earliest, latest));
    proxy.expires = Some(expires);
    let value = serde_json::to_vec(&proxy).map_err(|error| internal("a record cannot be written", error))?;
    let said = settle(|| async {
        let change =
            auth.store.change().put_record(Key::new(PROXY, proxy.host_id.clone()), value.clone(), Some(expires));
        let (host_id, addresses) = (&proxy.host_id, &proxy.public_addrs);
        known::note_addresses(change, host_id, SystemRole::Proxy, addresses, auth.clock.now()).await?.commit().await
    });
    said.await?;
    auth.proxies.forget().await;
    Ok(expires)
}

/// All proxies that said lately that they are there.
///
/// # Errors
/// Denied.
pub async fn list(auth: &Auth, caller: &Caller) -> Result<Vec<Proxy>, Error> {
    for verb in [Verb::List, Verb::Read] {
        permit(auth, caller, Operation::ReadProxies, verb)?;
    }
    all(auth).await
}

/// Where the proxies are reached.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// The addresses by whose hosts somebody vouched that their proxies may be called; those of this process first, then
    /// those of the proxy that says its own for the longest time.
    pub(crate) vouched: Vec<String>,
    /// An address that a proxy came up with later.
    other: Option<String>,
}

/// The last answer about the addresses, and when it was found, by the monotonic clock.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<(Duration, Arc<Addresses>)>>);

impl Kept {
    async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// Where the proxies are reached, as it was known within the last [`KEPT_FOR`].
///
/// # Errors
/// Whatever storage says.
pub(crate) async fn addresses(auth: &Auth) -> Result<Arc<Addresses>, Error> {
    // Held while we look: others wait for the same answer, and what is said meanwhile is forgotten afterwards.
    let mut kept = auth.proxies.0.lock().await;
    let now = auth.clock.monotonic();
    if let Some((since, addresses)) = &*kept
        && now.saturating_sub(*since) < KEPT_FOR
    {
        return Ok(Arc::clone(addresses));
    }
    let found = Arc::new(find_addresses(auth).await?);
    *kept = Some((now, Arc::clone(&found)));
    Ok(found)
}

async fn find_addresses(auth: &Auth) -> Result<Addresses, Error> {
    let (mut vouched, mut other) = (Vec::new(), None);
    for proxy in all(auth).await? {
        let known = known::known(auth, &proxy.host_id).await?;
        let is_called = |address: &String| {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).trim_matches(['[', ']']);
            known.is_called(SystemRole::Proxy, host)
        };
        let (own, others): (Vec<_>, Vec<_>) = proxy.public_addrs.into_iter().partition(is_called);
        other = other.or_else(|| others.into_iter().next());
        let since = own.first().and_then(|first| known.says_since(SystemRole::Proxy, first)).unwrap_or(Timestamp::MAX);
        vouched.push((proxy.host_id != auth.config.host_id, since, own));
    }
    vouched.sort_by_key(|&(is_other, since, _)| (is_other, since));
    Ok(Addresses { vouched: vouched.into_iter().flat_map(|(_, _, own)| own).collect(), other })
}

/// Where people and programs reach the cluster: what is configured for the proxy of this process, else the first address of
/// a proxy that is there and joined with that name, of several the one that has said it longest. A host that a proxy came up
/// with later is given only when there is no other: who has stolen the identity of one must not lead everybody away, nor to
/// a port where nobody is.
///
/// # Errors
/// Whatever storage says.
pub async fn public_address(auth: &Auth) -> Result<Option<String>, Error> {
    let addresses = addresses(auth).await?;
    Ok(addresses.vouched.first().or(addresses.other.as_ref()).cloned())
}

/// What people read of it, on terminals and in logs: no controls, nothing that hides letters or turns them around, no more
/// than the limit. A proxy is not refused for what it says.
fn plain(notice: &str) -> String {
    let is_format = |letter: char| {
        let code = u32::from(letter);
        matches!(code, 0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F)
            || matches!(code, 0xFEFF | 0xFFF9..=0xFFFB | 0xE_0000..=0xE_0FFF)
    };
    let mut rest = LONGEST_NOTICE;
    let fits = |letter: &char| {
        rest = rest.saturating_sub(letter.len_utf8());
        rest > 0
    };
    notice.chars().filter(|&letter| !letter.is_control() && !is_format(letter)).take_while(fits).collect()
}

/// Whether a proxy said lately that it is this host.
pub(crate) async fn is_there(auth: &Auth, host_id: &str) -> Result<bool, Error> {
    Ok(auth.store.record(&Key::new(PROXY, host_id)).await?.is_some())
}

pub(crate) async fn all(auth: &Auth) -> Result<Vec<Proxy>, Error> {
    let page = auth.store.backend().range(&Prefix::kind(PROXY), None, MOST).await.map_err(storage_error)?;
    let read = |item: &storage::Item| {
        serde_json::from_slice(&item.value).map_err(|error| internal("a stored record cannot be read", error))
    };
    page.items.iter().map(read).collect()
}

fn permit(auth: &Auth, caller: &Caller, operation: Operation, verb: Verb) -> Result<(), Error> {
    auth.require(caller, &Asked { operation, kind: Kind::Proxy, verb, name: "" }, &RuleContext::NONE)
}
