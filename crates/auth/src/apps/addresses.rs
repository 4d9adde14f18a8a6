//! Whose a public address is: it leads to one application, the first that has it.
//!
//! Whoever has the identity of an agent may announce what he likes under his own id, but not in the place of others.

use std::net::IpAddr;

use crypto::tls::AUTH_SERVER_NAME;
use domain::{
    Error,
    resources::{App, AppServer},
};

use crate::{Auth, proxies};

/// The host of an address, as it is compared.
fn host(address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The public hosts of the proxies. Not those that a proxy came up with by itself: who has stolen one could shut any
/// application out by its address.
async fn of_proxies(auth: &Auth) -> Result<Vec<String>, Error> {
    Ok(proxies::addresses(auth).await?.vouched.iter().map(|address| host(address)).collect())
}

/// A name of the cluster itself never leads to an application, so such a definition would be served nowhere.
pub(super) async fn refuse_own(auth: &Auth, app: &App) -> Result<(), Error> {
    let own = host(&app.spec.public_addr);
    if own.is_empty() {
        return Ok(());
    }
    let refused = |what: &str| {
        let reason = "which leads to no application; write another one, or leave it out";
        Err(Error::invalid(format!("spec.public_addr: {own} is {what}, {reason}")))
    };
    if own == "localhost" || own.parse::<IpAddr>().is_ok() {
        return refused("no name of a place in the network");
    }
    let is_of_cluster = own.strip_suffix(AUTH_SERVER_NAME).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if is_of_cluster {
        return refused("a name of the cluster itself");
    }
    if of_proxies(auth).await?.contains(&own) {
        return refused("the proxy's own name");
    }
    Ok(())
}

/// Refuses an application at the address of another one, which somebody else serves or has defined: its own public address,
/// or its name below a proxy's. A host may move an address between its own applications.
///
/// Two that are announced in the same instant may both be told yes; the proxy then keeps to the one that it saw first.
pub(super) async fn refuse_taken(auth: &Auth, server: &AppServer, app: &App) -> Result<(), Error> {
    let (name, own) = (app.metadata.name.as_str(), host(&app.spec.public_addr));
    let zones = of_proxies(auth).await?;
    // Which application's name below a proxy's this address is.
    let label = zones.iter().find_map(|zone| own.strip_suffix(zone.as_str())?.strip_suffix('.'));
    // Where it is found when it has no address of its own.
    let below: Vec<String> = match own.as_str() {
        "" => zones.iter().map(|zone| format!("{name}.{zone}")).collect(),
        _ => Vec::new(),
    };
    let contradicts = |other: &App| {
        if other.metadata.name == name {
            return false;
        }
        let address = host(&other.spec.public_addr);
        let is_label = label.is_some_and(|label| other.metadata.name.eq_ignore_ascii_case(label));
        is_label || (!address.is_empty() && (address == own || below.contains(&address)))
    };
    let snapshot = auth.cache.snapshot();
    let others = snapshot.app_servers().filter(|other| other.spec.host_id != server.spec.host_id);
    let served = others.filter_map(|other| other.spec.app.as_ref());
    let defined = snapshot.apps().map(|app| &**app);
    match served.chain(defined).find(|other| contradicts(other)) {
        None => Ok(()),
        Some(other) => {
            let address = if own.is_empty() { below.join(", ") } else { own };
            let other = &other.metadata.name;
            Err(Error::already_exists(format!(
                "spec.public_addr: app {name:?} cannot be at {address}, which is the address of app {other:?}: give one of \
                 them another public_addr"
            )))
        }
    }
}
