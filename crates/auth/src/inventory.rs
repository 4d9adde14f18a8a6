//! What runs in the cluster, by version and by service: this server, the agents that say that they are there, the bots.

use std::collections::BTreeMap;

use domain::{
    AnyResource, Error, Kind,
    resources::{AppServer, BotInstance},
    role::SystemRole,
};
use rbac::{RuleContext, Verb};

use crate::{
    Auth, Caller, Operation,
    decide::Asked,
    proxies::{self, Proxy},
};

/// A program of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its version.
    pub version: String,
    /// Its id; for a bot, that of its instance.
    pub id: String,
    /// What it does.
    pub services: Vec<SystemRole>,
    /// The host that it runs on, as it says.
    pub hostname: String,
    /// What keeps its version current, if anything does.
    pub upgrader: String,
    /// The version of that.
    pub upgrader_version: String,
}

/// How many there are of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// This server, and the agents and proxies that announced themselves lately. Bots come and go and are only counted.
    pub connected: Vec<Member>,
    /// All together.
    pub instances: u32,
    /// By version.
    pub versions: BTreeMap<String, u32>,
    /// By what keeps them current.
    pub upgraders: BTreeMap<String, u32>,
    /// By what they do.
    pub services: BTreeMap<String, u32>,
}

impl Inventory {
    /// It may be a service of a process that is known already.
    fn add(&mut self, member: Member) {
        match self.connected.iter_mut().find(|known| known.id == member.id) {
            Some(known) => {
                known.services.extend(member.services);
                if known.hostname.is_empty() {
                    known.hostname = member.hostname;
                }
            }
            None => self.connected.push(member),
        }
    }

    fn count(&mut self, member: &Member) {
        let add = |counts: &mut BTreeMap<String, u32>, key: &str| {
            if !key.is_empty() {
                *counts.entry(key.to_owned()).or_default() += 1;
            }
        };
        self.instances += 1;
        add(&mut self.versions, &member.version);
        add(&mut self.upgraders, &member.upgrader);
        for service in &member.services {
            add(&mut self.services, service.as_str());
        }
    }
}

/// Counts what runs in the cluster; `version` is that of this server. Bots are counted for those who may list them.
///
/// # Errors
/// Denied to those who may not list instances.
pub async fn inventory(auth: &Auth, caller: &Caller, version: &str) -> Result<Inventory, Error> {
    for verb in [Verb::List, Verb::Read] {
        let asked = Asked { operation: Operation::ReadInventory, kind: Kind::Instance, verb, name: "" };
        auth.require(caller, &asked, &RuleContext::NONE)?;
    }
    let own = Member {
        version: version.to_owned(),
        id: auth.config.host_id.clone(),
        services: vec![SystemRole::Auth],
        ..Member::default()
    };
    let mut agents = BTreeMap::new();
    auth.store
        .each_of(Kind::AppServer, |resource| {
            if let AnyResource::AppServer(server) = resource {
                agents.entry(server.spec.host_id.clone()).or_insert_with(|| agent(server));
            }
        })
        .await?;
    let mut inventory = Inventory { connected: vec![own], ..Inventory::default() };
    agents.into_values().for_each(|agent| inventory.add(agent));
    proxies::all(auth).await?.into_iter().map(proxy).for_each(|proxy| inventory.add(proxy));
    for member in inventory.connected.clone() {
        inventory.count(&member);
    }
    let sees_bots = [Verb::List, Verb::Read]
        .into_iter()
        .all(|verb| caller.access().check_rule(&RuleContext::NONE, Kind::BotInstance, verb).allowed);
    if sees_bots {
        auth.store
            .each_of(Kind::BotInstance, |resource| {
                if let AnyResource::BotInstance(instance) = resource {
                    inventory.count(&bot(instance));
                }
            })
            .await?;
    }
    Ok(inventory)
}

fn agent(server: &AppServer) -> Member {
    Member {
        version: server.spec.version.clone(),
        id: server.spec.host_id.clone(),
        services: vec![SystemRole::App],
        hostname: server.spec.hostname.clone(),
        ..Member::default()
    }
}

fn proxy(proxy: Proxy) -> Member {
    Member {
        version: proxy.version,
        id: proxy.host_id,
        services: vec![SystemRole::Proxy],
        hostname: proxy.hostname,
        ..Member::default()
    }
}

fn bot(instance: &BotInstance) -> Member {
    let heartbeat = instance.status.latest_heartbeat().cloned().unwrap_or_default();
    Member {
        version: heartbeat.version,
        id: instance.spec.instance_id.clone(),
        services: vec![SystemRole::Bot],
        hostname: heartbeat.hostname,
        upgrader: heartbeat.external_updater,
        upgrader_version: heartbeat.external_updater_version,
    }
}
