//! The `application` output: a certificate that leads to one application, for programs that speak TLS themselves.

use super::{
    Artifact, Output,
    identity::{common, pem},
};
use crate::{BotError, identity::BotIdentity, run::Hub};

/// Every file that this output writes.
pub(super) const ARTIFACTS: &[&str] =
    &["identity", "key", "key.pub", "key-cert.pub", "tlscert", "teleport-host-ca.crt"];

/// And these, when web servers' names are asked for.
pub(super) const SPECIFIC: &[&str] = &["tls.crt", "tls.key", "tls.cas"];

pub(super) async fn write(output: &Output, hub: &Hub) -> Result<BotIdentity, BotError> {
    let failed = |source| BotError::Auth { what: "cannot generate a certificate for the application", source };
    let sight = output.grant.sight(hub).await.map_err(failed)?;
    let routed = output.grant.routed(hub, &sight, &output.app).await.map_err(failed)?;
    let client = hub.client().await.map_err(failed)?;
    let authorities = hub.authorities(&client).await.map_err(failed)?;
    let issued = &routed.identity;
    let mut artifacts: Vec<Artifact> = Vec::new();
    if output.specific_names {
        artifacts.push(("tls.cas", authorities.host.tls.concat().into()));
        artifacts.push(("tls.key", pem(issued)?));
        artifacts.push(("tls.crt", issued.certificates().tls.clone().into()));
    }
    artifacts.extend(common(issued, &authorities)?);
    output.put(artifacts).await?;
    tracing::info!(
        output = output.name,
        destination = output.sink.describe(),
        "Generated identity for app {{{:?}}}, reached as {}: {issued}",
        output.app,
        routed.public_name
    );
    Ok(routed.identity)
}
