//! Which hosts there are: an id belongs to who joined with it first, for as long as its certificates live.
//!
//! Agents and proxies are found by their id, and one join token is good for many hosts. Whoever has the token must not
//! become a host that is there already.

use std::{collections::BTreeMap, time::Duration};

use clock::Timestamp;
use crypto::{PublicKey, hash};
use domain::{Error, error::Reason, role::SystemRole};
use serde::{Deserialize, Serialize};
use storage::{Item, Key};
use store::Change;

use crate::{
    Auth, Caller,
    certificates::host::{HostNames, has_names},
    failure::internal,
    proxies,
};

const HOST: &str = "tessera_host";

/// How long after its first join a machine may join as something else without showing a certificate: a process with several
/// services asks for all of them at its first start, each by itself. Within it, whoever has a token for that role can take
/// a role that this host does not have; later, none.
const COMPANIONS: Duration = Duration::from_secs(600);

/// The keys of a role that are remembered: a machine that was restored from a copy of itself is still the same. Older ones
/// than these have no living certificate.
const MOST_KEYS: usize = 8;

/// The addresses of a role that are remembered; any further one is as good as new each time.
const MOST_ADDRESSES: usize = 64;

/// The names of a role that are remembered; more do not fit a certificate that anybody would accept.
const MOST_NAMES: usize = 256;

/// A host that has joined.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Known {
    /// When it first did.
    since: Option<Timestamp>,
    /// When the last of its certificates ends.
    until: Option<Timestamp>,
    /// What it is.
    roles: BTreeMap<String, Part>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Part {
    /// The keys that it had certificates for, newest last.
    keys: Vec<String>,
    /// What it may be called besides its id.
    names: Vec<String>,
    /// Where it said that it is reached, and since when.
    addresses: BTreeMap<String, Timestamp>,
}

/// Whether somebody says now that a host may have the names that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// An administrator, or the configuration of this process: it has these and no others.
    Only,
    /// A join token, which may be stolen: it has these, too.
    Also,
    /// Nobody: it gets those that somebody vouched for earlier.
    Before,
}

/// The pair of keys that somebody asks with. Asking with those of a host again is its own interrupted join, or useless to
/// whoever does not have them.
pub(crate) fn fingerprint(tls: &PublicKey, ssh: &PublicKey) -> String {
    hash::hex(&hash::sha256_parts(&[&tls.sha256(), &ssh.sha256()]))
}

/// What is known about the host, read for a change: of two joins at once with one id, one is first.
pub(crate) async fn read(change: &mut Change, host_id: &str) -> Result<Option<Known>, Error> {
    change.read_record(Key::new(HOST, host_id)).await?.map(|item| decode(&item)).transpose()
}

fn decode(item: &Item) -> Result<Known, Error> {
    serde_json::from_slice(&item.value).map_err(|error| internal("a stored record cannot be read", error))
}

/// Adds it to a change, with the end of another certificate; it goes when the last one of the host has ended.
pub(crate) fn put(change: Change, host_id: &str, known: Known, not_after: Timestamp) -> Result<Change, Error> {
    let until = known.until.map_or(not_after, |until| until.max(not_after));
    write(change, host_id, &Known { until: Some(until), ..known })
}

fn write(change: Change, host_id: &str, known: &Known) -> Result<Change, Error> {
    let value = serde_json::to_vec(known).map_err(|error| internal("a record cannot be written", error))?;
    Ok(change.put_record(Key::new(HOST, host_id), value, known.until))
}

/// Remembers in a change where a host says that it is reached, if that is new.
pub(crate) async fn note_addresses(
    mut change: Change,
    host_id: &str,
    role: SystemRole,
    said: &[String],
    now: Timestamp,
) -> Result<Change, Error> {
    let Some(mut known) = read(&mut change, host_id).await? else { return Ok(change) };
    let Some(part) = known.roles.get_mut(role.as_str()) else { return Ok(change) };
    let before = part.addresses.len();
    for address in said {
        if part.addresses.len() < MOST_ADDRESSES {
            part.addresses.entry(address.clone()).or_insert(now);
        }
    }
    if part.addresses.len() == before { Ok(change) } else { write(change, host_id, &known) }
}

/// Refuses somebody who joins with the id of a host that is there, and is not that host by anything that it shows. Of
/// others it says whether the join token vouches for the names: not for whoever shows no more than the keys of that host,
/// which are public.
pub(crate) async fn refuse_taken(
    auth: &Auth,
    caller: &Caller,
    known: Option<&Known>,
    host_id: &str,
    role: SystemRole,
    keys: &str,
) -> Result<Vouched, Error> {
    let shows_its_own = caller.system_role().is_some() && caller.identity().host_id() == Some(host_id);
    let is_free = match known {
        Some(known) => known.may_add(role, auth.clock.now()),
        // Joined before this was remembered, or before the store was restored.
        None => !is_announced(auth, host_id).await?,
    };
    if shows_its_own || is_free {
        return Ok(Vouched::Also);
    }
    if known.is_some_and(|known| known.has_keys(role, keys)) {
        return Ok(Vouched::Before);
    }
    Err(Error::denied(format!(
        "HostID: {host_id} belongs to a host that has joined already, with another key. If this machine is a copy of that \
         host, or has lost its key: stop it, remove host_uuid and hosts/ from its data_dir, and start it again; it joins as \
         a new host"
    ))
    .because(Reason::HostTaken))
}

/// What is known about the host now; nothing about one that never joined.
pub(crate) async fn known(auth: &Auth, host_id: &str) -> Result<Known, Error> {
    auth.store.record(&Key::new(HOST, host_id)).await?.map_or_else(|| Ok(Known::default()), |item| decode(&item))
}

async fn is_announced(auth: &Auth, host_id: &str) -> Result<bool, Error> {
    let serves = auth.cache.snapshot().app_servers().any(|server| server.spec.host_id == host_id);
    Ok(serves || proxies::is_there(auth, host_id).await?)
}

impl Known {
    /// A host that joins for the first time.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// Whether it has been this.
    pub(crate) fn has(&self, role: SystemRole) -> bool {
        self.roles.contains_key(role.as_str())
    }

    /// Whether somebody vouched for this name.
    pub(crate) fn is_called(&self, role: SystemRole, name: &str) -> bool {
        self.vouched(role).iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Since when the host says that it is reached at this address.
    pub(crate) fn says_since(&self, role: SystemRole, address: &str) -> Option<Timestamp> {
        self.roles.get(role.as_str())?.addresses.get(address).copied()
    }

    fn vouched(&self, role: SystemRole) -> &[String] {
        self.roles.get(role.as_str()).map(|part| part.names.as_slice()).unwrap_or_default()
    }

    fn has_keys(&self, role: SystemRole, keys: &str) -> bool {
        self.roles.get(role.as_str()).is_some_and(|part| part.keys.iter().any(|known| known == keys))
    }

    fn may_add(&self, role: SystemRole, now: Timestamp) -> bool {
        let end = self.since.and_then(|since| since.saturating_add(COMPANIONS).ok());
        !self.has(role) && end.is_some_and(|end| now < end)
    }

    /// Remembers keys that certificates are issued for.
    pub(crate) fn add_keys(&mut self, role: SystemRole, keys: String) {
        let part = self.roles.entry(role.as_str().to_owned()).or_default();
        part.keys.retain(|known| *known != keys);
        part.keys.push(keys);
        part.keys.drain(..part.keys.len().saturating_sub(MOST_KEYS));
    }

    /// Decides about the names that a host asks for: those that are vouched for now are remembered, of others it keeps those
    /// that it may have.
    ///
    /// # Errors
    /// More names than are remembered.
    pub(crate) fn name(&mut self, role: SystemRole, names: &mut HostNames, vouched: Vouched) -> Result<(), Error> {
        if vouched != Vouched::Before {
            return self.set_names(role, names, vouched);
        }
        let dropped = self.restrict(role, names);
        if !dropped.is_empty() {
            tracing::warn!(host_id = names.host_id, ?dropped, "a host asked for names that it did not join with");
        }
        Ok(())
    }

    /// With a join token, what was vouched for before stays, also when there is room for no more: whoever has stolen one must
    /// not take the names of a host away.
    fn set_names(&mut self, role: SystemRole, names: &HostNames, vouched: Vouched) -> Result<(), Error> {
        let part = self.roles.entry(role.as_str().to_owned()).or_default();
        if !has_names(role) {
            return Ok(());
        }
        let advice = match vouched {
            Vouched::Only => {
                part.names.clear();
                "ask for fewer"
            }
            _ => {
                "to give it others, stop it, remove host_uuid and hosts/ from its data_dir, and start it again: it joins as a \
                 new host"
            }
        };
        for name in names.all() {
            if !part.names.contains(name) {
                part.names.push(name.clone());
            }
        }
        if part.names.len() > MOST_NAMES {
            return Err(Error::limit(format!(
                "DNSNames: this host would have had more than {MOST_NAMES} names; {advice}"
            )));
        }
        Ok(())
    }

    /// Takes away what nobody has vouched for, and returns it: a host chooses no names for itself, but may be called
    /// something below its own, as applications are.
    fn restrict(&self, role: SystemRole, names: &mut HostNames) -> Vec<String> {
        if !has_names(role) {
            return Vec::new();
        }
        let is_vouched = |name: &str| self.is_called(role, name);
        // A name without a dot may be that of the machine, and that of a zone by chance.
        let is_zone = |name: &str| name.contains('.') || name.eq_ignore_ascii_case("localhost");
        let is_below = |name: &str| name.split_once('.').is_some_and(|(_, above)| is_zone(above) && is_vouched(above));
        let mut dropped = Vec::new();
        let mut keep = |name: &String| {
            let is_kept = is_vouched(name) || is_below(name);
            if !is_kept {
                dropped.push(name.clone());
            }
            is_kept
        };
        names.dns_names.retain(&mut keep);
        names.principals.retain(&mut keep);
        if !names.node_name.is_empty() && !is_vouched(&names.node_name) {
            dropped.push(std::mem::take(&mut names.node_name));
        }
        dropped
    }
}
