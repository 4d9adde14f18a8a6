//! The `identity` output: key, certificates and authorities for OpenSSH, TLS clients and the official tools.

use client::IdentityFile;

use super::Output;
use crate::{BotError, authorities::Authorities, identity::BotIdentity, run::Hub};

/// Every file that this output writes.
pub(super) const ARTIFACTS: &[&str] = &[
    "identity",
    "key",
    "key.pub",
    "key-cert.pub",
    "tlscert",
    "teleport-host-ca.crt",
    "teleport-user-ca.crt",
    "teleport-database-ca.crt",
];

pub(super) async fn write(output: &Output, hub: &Hub) -> Result<BotIdentity, BotError> {
    let failed = |source| BotError::Auth { what: "cannot generate impersonated certificates", source };
    let issued = output.grant.issue(hub, None).await.map_err(failed)?;
    let client = hub.client().await.map_err(failed)?;
    put(output, &issued, &hub.authorities(&client).await.map_err(failed)?)?;
    tracing::info!(
        output = output.name,
        destination = output.sink.describe(),
        "impersonated certificates renewed: {issued}"
    );
    Ok(issued)
}

fn put(output: &Output, issued: &BotIdentity, authorities: &Authorities) -> Result<(), BotError> {
    // The authorities first: whoever sees the new certificate can already verify what it meets.
    output.put("teleport-user-ca.crt", &authorities.user.tls.concat())?;
    output.put("teleport-database-ca.crt", &authorities.database.tls.concat())?;
    put_common(output, issued, authorities)
}

/// Authorities of servers, identity file, key and certificates: what each output with certificates writes.
pub(super) fn put_common(output: &Output, issued: &BotIdentity, authorities: &Authorities) -> Result<(), BotError> {
    let key = issued.key().to_pem().map_err(|error| BotError::Machine(format!("cannot write the key: {error}")))?;
    let certificates = issued.certificates();
    let cluster = issued.cluster();
    let hosts = authorities.host.ssh.iter();
    let file = IdentityFile {
        key: key.clone(),
        ssh_certificate: certificates.ssh.clone(),
        tls_certificate: certificates.tls.clone(),
        ssh_authorities: hosts.map(|line| format!("@cert-authority {cluster},*.{cluster} {line} type=host")).collect(),
        tls_authorities: authorities.host.tls.clone(),
    };
    output.put("teleport-host-ca.crt", &authorities.host.tls.concat())?;
    output.put("identity", file.render().expose())?;
    output.put("key", key.expose())?;
    output.put("key.pub", &format!("{}\n", issued.key().public().to_authorized_key().trim_end()))?;
    output.put("key-cert.pub", &format!("{}\n", certificates.ssh))?;
    output.put("tlscert", &certificates.tls)?;
    Ok(())
}
