//! The `identity` output: key, certificates and authorities for OpenSSH, TLS clients and the official tools.

use client::IdentityFile;
use crypto::SecretString;

use super::{Artifact, Output};
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
    let authorities = hub.authorities(&client).await.map_err(failed)?;
    // The authorities first: whoever sees the new certificate can already verify what it meets.
    let mut artifacts: Vec<Artifact> = vec![
        ("teleport-user-ca.crt", authorities.user.tls.concat().into()),
        ("teleport-database-ca.crt", authorities.database.tls.concat().into()),
    ];
    if output.for_ssh {
        let lines = host_lines(&issued, &authorities).into_iter().map(|line| line + "\n");
        artifacts.push(("known_hosts", lines.collect::<String>().into()));
    }
    artifacts.extend(common(&issued, &authorities)?);
    output.put(artifacts).await?;
    tracing::info!(
        output = output.name,
        destination = output.sink.describe(),
        "impersonated certificates renewed: {issued}"
    );
    Ok(issued)
}

/// Authorities of servers, identity file, key and certificates: what each output with certificates writes.
///
/// The key comes between its two certificates: what they are replaced one after the other in is as short as it can be.
pub(super) fn common(issued: &BotIdentity, authorities: &Authorities) -> Result<[Artifact; 6], BotError> {
    let key = pem(issued)?;
    let certificates = issued.certificates();
    let file = IdentityFile {
        key: key.clone(),
        ssh_certificate: certificates.ssh.clone(),
        tls_certificate: certificates.tls.clone(),
        ssh_authorities: host_lines(issued, authorities),
        tls_authorities: authorities.host.tls.clone(),
    };
    Ok([
        ("teleport-host-ca.crt", authorities.host.tls.concat().into()),
        ("identity", file.render()),
        ("key.pub", format!("{}\n", issued.key().public().to_authorized_key().trim_end()).into()),
        ("key-cert.pub", format!("{}\n", certificates.ssh).into()),
        ("key", key),
        ("tlscert", certificates.tls.clone().into()),
    ])
}

/// The private key, as files hold it.
pub(super) fn pem(issued: &BotIdentity) -> Result<SecretString, BotError> {
    issued.key().to_pem().map_err(|error| BotError::Machine(format!("cannot write the key: {error}")))
}

/// Whom SSH clients believe to be a host of the cluster.
fn host_lines(issued: &BotIdentity, authorities: &Authorities) -> Vec<String> {
    let cluster = issued.cluster();
    let line = |key: &String| format!("@cert-authority {cluster},*.{cluster} {key} type=host");
    authorities.host.ssh.iter().map(line).collect()
}
