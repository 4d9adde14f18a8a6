//! Join tokens.

use api::{
    convert::Wire,
    r#gen::{
        proto::{CreateTokenV2Request, UpsertTokenV2Request, create_token_v2_request, upsert_token_v2_request},
        types::ResourceRequest,
    },
    methods::proto::auth_service as rpc,
};
use client::Client;
use domain::{Error, resources::Token};

use super::Remote;

impl Remote for Token {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetToken>(ResourceRequest { name: name.to_owned() }).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        let list = client.call::<rpc::GetTokens>(()).await?;
        list.provision_tokens.into_iter().map(Self::from_wire).collect()
    }

    async fn create(client: &Client, token: Self) -> Result<(), Error> {
        let token = Some(create_token_v2_request::Token::V2(token.to_wire()));
        client.call::<rpc::CreateTokenV2>(CreateTokenV2Request { token }).await
    }

    async fn upsert(client: &Client, token: Self) -> Result<(), Error> {
        let token = Some(upsert_token_v2_request::Token::V2(token.to_wire()));
        client.call::<rpc::UpsertTokenV2>(UpsertTokenV2Request { token }).await
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteToken>(ResourceRequest { name: name.to_owned() }).await
    }
}
