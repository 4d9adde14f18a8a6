//! What the server says about itself.

use api::{
    r#gen::{
        proto::{PingRequest, PingResponse},
        tessera::v1::StatusRequest,
    },
    methods::{proto::auth_service as rpc, tessera::v1::cluster_service},
};
use client::Client;
use domain::{Error, error::Kind as ErrorKind, resources::AuthPreference, suite::Suite};

use super::{Remote, show_time, wire};
use crate::session::Session;

/// Cluster name, version, public address.
pub(crate) async fn ping(client: &Client) -> Result<PingResponse, Error> {
    client.repeat::<rpc::Ping>(PingRequest::default()).await
}

/// What an administrator should know about the server: what is not ready, and whether its store was restored.
pub(crate) async fn notes(client: &Client) -> Result<Vec<String>, Error> {
    let status = match client.call::<cluster_service::Status>(StatusRequest {}).await {
        // Another implementation of the API has nothing to say here.
        Err(error) if error.kind == ErrorKind::Unsupported => return Ok(Vec::new()),
        other => other?,
    };
    let mut notes = Vec::new();
    if let Some(time) = status.rolled_back_at.and_then(wire::time) {
        let since = show_time(time);
        notes.push(format!(
            "the store was restored from an older copy, noticed {since}: locks, deletions and spent tokens made after \
             that copy are gone; single-use tokens from before are refused"
        ));
    }
    for reason in status.reasons.iter().filter(|reason| !reason.text.is_empty() || !reason.ready) {
        notes.push(format!("{}: {}", reason.component, reason.text));
    }
    Ok(notes)
}

/// The suite that new keys follow.
pub(crate) async fn suite(client: &Client) -> Result<Suite, Error> {
    Ok(AuthPreference::fetch(client, "").await?.spec.signature_algorithm_suite.effective())
}

/// The proxy that the cluster names to people and programs, when there is one.
pub(crate) async fn proxy_address(client: &Client) -> Result<Option<String>, Error> {
    Ok(Some(ping(client).await?.proxy_public_addr).filter(|address| !address.is_empty()))
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
