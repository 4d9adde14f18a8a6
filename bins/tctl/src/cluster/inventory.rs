//! What is connected to the cluster.

use std::collections::BTreeMap;

use api::{r#gen::proto::InventoryStatusRequest, methods::proto::auth_service as rpc};
use client::Client;
use domain::Error;
use serde::Serialize;

/// How many instances there are, and of what.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Inventory {
    pub(crate) instance_count: u32,
    pub(crate) version_counts: BTreeMap<String, u32>,
    pub(crate) upgrader_counts: BTreeMap<String, u32>,
    pub(crate) service_counts: BTreeMap<String, u32>,
    /// Those connected to the server that answered, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) connected: Vec<Instance>,
}

/// One program that is connected.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Instance {
    pub(crate) server_id: String,
    pub(crate) hostname: String,
    pub(crate) services: Vec<String>,
    pub(crate) version: String,
    pub(crate) upgrader: String,
    pub(crate) upgrader_version: String,
}

/// Asks for the inventory.
pub(crate) async fn inventory(client: &Client, connected: bool) -> Result<Inventory, Error> {
    let status = client.call::<rpc::GetInventoryStatus>(InventoryStatusRequest { connected }).await?;
    let connected = status.connected.into_iter().map(|hello| Instance {
        server_id: hello.server_id,
        hostname: hello.hostname,
        services: hello.services,
        version: hello.version,
        upgrader: hello.external_upgrader,
        upgrader_version: hello.external_upgrader_version,
    });
    let mut connected: Vec<Instance> = connected.collect();
    connected.sort_by(|a, b| (&a.hostname, &a.server_id).cmp(&(&b.hostname, &b.server_id)));
    Ok(Inventory {
        instance_count: status.instance_count,
        version_counts: status.version_counts.into_iter().collect(),
        upgrader_counts: status.upgrader_counts.into_iter().collect(),
        service_counts: status.service_counts.into_iter().collect(),
        connected,
    })
}
