//! Roles.

use api::{
    convert::Wire,
    r#gen::proto::{
        CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, UpdateRoleRequest, UpsertRoleRequest,
    },
    methods::proto::auth_service as rpc,
};
use client::Client;
use domain::{Error, resources::Role};

use super::Remote;

impl Remote for Role {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetRole>(GetRoleRequest { name: name.to_owned() }).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        let mut start_key = String::new();
        loop {
            let request = ListRolesRequest { start_key, ..Default::default() };
            let page = client.call::<rpc::ListRoles>(request).await?;
            for role in page.roles {
                found.push(Self::from_wire(role)?);
            }
            start_key = page.next_key;
            if start_key.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn create(client: &Client, role: Self) -> Result<(), Error> {
        client.call::<rpc::CreateRole>(CreateRoleRequest { role: Some(role.to_wire()) }).await.map(drop)
    }

    async fn update(client: &Client, role: Self) -> Result<(), Error> {
        client.call::<rpc::UpdateRole>(UpdateRoleRequest { role: Some(role.to_wire()) }).await.map(drop)
    }

    async fn upsert(client: &Client, role: Self) -> Result<(), Error> {
        client.call::<rpc::UpsertRoleV2>(UpsertRoleRequest { role: Some(role.to_wire()) }).await.map(drop)
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteRole>(DeleteRoleRequest { name: name.to_owned() }).await.map(drop)
    }
}
