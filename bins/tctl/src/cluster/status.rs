//! What the server says about itself.

use api::{
    r#gen::proto::{PingRequest, PingResponse},
    methods::proto::auth_service as rpc,
};
use client::Client;
use domain::{
    Error,
    resources::AuthPreference,
    suite::Suite,
};

use super::Remote;
use crate::session::Session;

/// Cluster name, version, public address.
pub(crate) async fn ping(client: &Client) -> Result<PingResponse, Error> {
    client.repeat::<rpc::Ping>(PingRequest::default()).await
}

/// The suite that new keys follow.
pub(crate) async fn suite(client: &Client) -> Result<Suite, Error> {
    Ok(AuthPreference::fetch(client, "").await?.spec.signature_algorithm_suite)
}

/// An address of the auth service that other machines can dial, as far as we can tell.
pub(crate) async fn auth_address(session: &mut Session) -> anyhow::Result<String> {
    if let Some(address) = session.globals.auth_server.first() {
        return Ok(address.clone());
    }
    if session.globals.identity.is_none()
        && let Ok(found) = daemon::config::find(session.globals.config.as_deref())
    {
        let (common, auth) = (found.config.teleport, found.config.auth_service);
        if let Some(address) = auth.public_addr.first() {
            return Ok(address.to_string());
        }
        let mut address = auth.listen_addr;
        if matches!(address.host.as_str(), "0.0.0.0" | "::") {
            address.host = common.advertise_ip.map_or(common.nodename, |ip| ip.to_string());
        }
        return Ok(address.to_string());
    }
    Ok("127.0.0.1:3025".to_owned())
}
