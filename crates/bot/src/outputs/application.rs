//! The `application` output: a certificate that leads to one application, for programs that speak TLS themselves.

use super::{Output, identity::put_common};
use crate::{BotError, identity::BotIdentity, run::Hub};

/// Every file that this output writes.
pub(super) const ARTIFACTS: &[&str] =
    &["identity", "key", "key.pub", "key-cert.pub", "tlscert", "teleport-host-ca.crt"];

/// And these, when web servers' names are asked for.
pub(super) const SPECIFIC: &[&str] = &["tls.crt", "tls.key", "tls.cas"];

pub(super) async fn write(output: &Output, hub: &Hub) -> Result<BotIdentity, BotError> {
    let failed = |source| BotError::Auth { what: "cannot generate a certificate for the application", source };
    let routed = output.grant.routed(hub, &output.app).await.map_err(failed)?;
    let client = hub.client().await.map_err(failed)?;
    let authorities = hub.authorities(&client).await.map_err(failed)?;
    let issued = &routed.identity;
    if output.specific_names {
        let key = issued.key().to_pem().map_err(|error| BotError::Machine(format!("cannot write the key: {error}")))?;
        output.put("tls.cas", &authorities.host.tls.concat())?;
        output.put("tls.key", key.expose())?;
        output.put("tls.crt", &issued.certificates().tls)?;
    }
    put_common(output, issued, &authorities)?;
    tracing::info!(
        output = output.name,
        destination = output.sink.describe(),
        "Generated identity for app {{{:?}}}, reached as {}: {issued}",
        output.app,
        routed.public_name
    );
    Ok(routed.identity)
}
