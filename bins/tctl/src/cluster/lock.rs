//! Locks.

use api::{
    convert::Wire,
    r#gen::proto::{DeleteLockRequest, GetLockRequest, GetLocksRequest},
    methods::proto::auth_service as rpc,
};
use client::Client;
use domain::{Error, Resource, error::Kind as ErrorKind, resources::Lock};

use super::Remote;

impl Remote for Lock {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetLock>(GetLockRequest { name: name.to_owned() }).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        let list = client.call::<rpc::GetLocks>(GetLocksRequest::default()).await?;
        list.locks.into_iter().map(Self::from_wire).collect()
    }

    /// The API has no call that only creates; two people who make a lock of one name at one moment both mean it.
    async fn create(client: &Client, lock: Self) -> Result<(), Error> {
        match Self::fetch(client, lock.name()).await {
            Err(error) if error.kind == ErrorKind::NotFound => Self::upsert(client, lock).await,
            Err(error) => Err(error),
            Ok(_) => Err(Error::already_exists(format!("lock \"{}\" already exists", lock.name()))),
        }
    }

    async fn upsert(client: &Client, lock: Self) -> Result<(), Error> {
        client.call::<rpc::UpsertLock>(lock.to_wire()).await
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteLock>(DeleteLockRequest { name: name.to_owned() }).await
    }
}
