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

/// And these, for SSH clients.
pub(super) const FOR_SSH: &[&str] = &["known_hosts"];

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
    if output.for_ssh {
        let lines = host_lines(issued, authorities).into_iter().map(|line| line + "\n");
        output.put("known_hosts", &lines.collect::<String>())?;
    }
    put_common(output, issued, authorities)
}

/// Authorities of servers, identity file, key and certificates: what each output with certificates writes.
pub(super) fn put_common(output: &Output, issued: &BotIdentity, authorities: &Authorities) -> Result<(), BotError> {
    let key = issued.key().to_pem().map_err(|error| BotError::Machine(format!("cannot write the key: {error}")))?;
    let certificates = issued.certificates();
    let file = IdentityFile {
        key: key.clone(),
        ssh_certificate: certificates.ssh.clone(),
        tls_certificate: certificates.tls.clone(),
        ssh_authorities: host_lines(issued, authorities),
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

/// Whom SSH clients believe to be a host of the cluster.
fn host_lines(issued: &BotIdentity, authorities: &Authorities) -> Vec<String> {
    let cluster = issued.cluster();
    let line = |key: &String| format!("@cert-authority {cluster},*.{cluster} {key} type=host");
    authorities.host.ssh.iter().map(line).collect()
}
