//! Which proxies there are: each says so itself, every few minutes.

use std::time::Duration;

use clock::Timestamp;
use domain::{Error, Kind, names};
use rbac::{RuleContext, Verb};
use serde::{Deserialize, Serialize};
use storage::{Key, Prefix};

use crate::{
    Auth, Caller, Operation,
    apps::servers::refuse_other_host,
    decide::Asked,
    failure::{internal, storage_error},
};

const PROXY: &str = "tessera_proxy";

/// How long a proxy is listed after it last said that it is there. Agents dial every proxy that is listed.
pub const PRESENCE: Duration = Duration::from_secs(120);

/// The most addresses of one proxy, and the longest of them.
const MOST_ADDRESSES: usize = 32;
const LONGEST: usize = 300;

/// The longest word about itself.
const LONGEST_NOTICE: usize = 2000;

/// The most proxies that are listed.
const MOST: usize = 1000;

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
    let is_talkative = proxy.notice.len() > LONGEST_NOTICE || proxy.notice.chars().any(char::is_control);
    let is_bad =
        is_talkative || texts.iter().any(is_long) || lists.iter().any(|list| list.iter().any(|text| is_long(&text)));
    if is_bad || lists.iter().any(|list| list.len() > MOST_ADDRESSES) {
        return Err(Error::invalid(format!(
            "proxy: at most {MOST_ADDRESSES} addresses, each of at most {LONGEST} visible characters"
        )));
    }
    let expires = auth.clock.now().saturating_add(PRESENCE).unwrap_or(Timestamp::MAX);
    proxy.expires = Some(expires);
    let value = serde_json::to_vec(&proxy).map_err(|error| internal("a record cannot be written", error))?;
    auth.store.change().put_record(Key::new(PROXY, proxy.host_id), value, Some(expires)).commit().await?;
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

/// Where people and programs reach the cluster: the first address of a proxy that is there.
///
/// # Errors
/// Whatever storage says.
pub async fn public_address(auth: &Auth) -> Result<Option<String>, Error> {
    Ok(all(auth).await?.into_iter().find_map(|proxy| proxy.public_addrs.into_iter().next()))
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
