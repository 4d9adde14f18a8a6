//! What runs in the cluster.

use api::{
    r#gen::proto::{InventoryStatusSummary, UpstreamInventoryHello},
    methods::proto::auth_service::GetInventoryStatus,
};
use auth::{
    Operation,
    inventory::{Member, inventory},
};

use crate::{
    dispatch::{Row, Who, unary},
    metadata::API_VERSION,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![unary::<GetInventoryStatus, _, _>(
        Who::Authenticated,
        Operation::ReadInventory,
        |context, request| async move {
            let found = inventory(&context.auth, &context.caller, API_VERSION).await?;
            let connected = if request.connected { found.connected } else { Vec::new() };
            Ok(InventoryStatusSummary {
                connected: connected.into_iter().map(hello).collect(),
                instance_count: found.instances,
                version_counts: found.versions,
                upgrader_counts: found.upgraders,
                service_counts: found.services,
            })
        },
    )]
}

fn hello(member: Member) -> UpstreamInventoryHello {
    UpstreamInventoryHello {
        version: member.version,
        server_id: member.id,
        services: member.services.iter().map(|service| service.as_str().to_owned()).collect(),
        hostname: member.hostname,
        external_upgrader: member.upgrader,
        external_upgrader_version: member.upgrader_version,
    }
}
