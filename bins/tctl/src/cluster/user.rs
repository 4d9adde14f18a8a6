//! Users, and the links with which they set credentials.

use std::time::Duration;

use api::{
    convert::Wire,
    r#gen::{
        proto::CreateResetPasswordTokenRequest,
        teleport::users::v1::{
            CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UpdateUserRequest,
            UpsertUserRequest,
        },
    },
    methods::{proto::auth_service, teleport::users::v1::users_service as rpc},
};
use client::Client;
use domain::{Error, Timestamp, resources::User};

use super::Remote;

/// One user, with secrets when asked for.
pub(super) async fn fetch(client: &Client, name: &str, with_secrets: bool) -> Result<User, Error> {
    let request = GetUserRequest { name: name.to_owned(), with_secrets, ..Default::default() };
    let answer = client.call::<rpc::GetUser>(request).await?;
    let user = answer.user.ok_or_else(|| Error::not_found(format!("user \"{name}\" not found")))?;
    User::from_wire(user)
}

impl Remote for User {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        fetch(client, name, false).await
    }

    async fn list(client: &Client, with_secrets: bool) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListUsersRequest { page_token, with_secrets, ..Default::default() };
            let page = client.call::<rpc::ListUsers>(request).await?;
            for user in page.users {
                found.push(Self::from_wire(user)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn create(client: &Client, user: Self) -> Result<(), Error> {
        client.call::<rpc::CreateUser>(CreateUserRequest { user: Some(user.to_wire()) }).await.map(drop)
    }

    async fn update(client: &Client, user: Self) -> Result<(), Error> {
        client.call::<rpc::UpdateUser>(UpdateUserRequest { user: Some(user.to_wire()) }).await.map(drop)
    }

    async fn upsert(client: &Client, user: Self) -> Result<(), Error> {
        client.call::<rpc::UpsertUser>(UpsertUserRequest { user: Some(user.to_wire()) }).await.map(drop)
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteUser>(DeleteUserRequest { name: name.to_owned() }).await.map(drop)
    }
}

/// A token with which a person sets credentials.
pub(crate) struct CredentialsToken {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) expires: Option<Timestamp>,
}

/// Asks for a token with which a person sets credentials, for the first time or anew.
pub(crate) async fn credentials_token(
    client: &Client,
    user: &str,
    ttl: Duration,
    is_invitation: bool,
) -> Result<CredentialsToken, Error> {
    let request = CreateResetPasswordTokenRequest {
        name: user.to_owned(),
        r#type: if is_invitation { "invite".to_owned() } else { "password".to_owned() },
        ttl: i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX),
    };
    let token = client.call::<auth_service::CreateResetPasswordToken>(request).await?;
    let (metadata, spec) = (token.metadata.unwrap_or_default(), token.spec.unwrap_or_default());
    let expires = metadata.expires.and_then(super::wire::time);
    Ok(CredentialsToken { name: metadata.name, url: spec.url, expires })
}
