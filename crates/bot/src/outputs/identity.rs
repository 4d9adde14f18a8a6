//! The `identity` output: key, certificates and authorities for OpenSSH, TLS clients and the official tools.

use api::{
    r#gen::proto,
    methods::proto::auth_service::{GenerateUserCerts, GetRole},
};
use client::{Client, IdentityFile};
use crypto::KeyPair;
use domain::{Error, error::Kind};

use super::Output;
use crate::{
    BotError,
    authorities::Authorities,
    identity::{BotIdentity, Certificates},
    run::Hub,
};

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

pub(super) async fn write(output: &Output, hub: &Hub) -> Result<(), BotError> {
    let failed = |source| BotError::Auth { what: "cannot generate impersonated certificates", source };
    let current = hub.current().ok_or_else(|| failed(Error::unavailable("there is no bot identity yet")))?;
    let own = current.identity.cluster();
    if ![own, ""].contains(&output.cluster.as_str()) {
        let (name, leaf) = (&output.name, &output.cluster);
        let message =
            format!("{name}: cluster {leaf:?} is not this bot's own ({own:?}); leaf clusters are not supported yet");
        return Err(failed(Error::unsupported(message)));
    }
    let client = hub.client().await.map_err(failed)?;
    let authorities = hub.authorities(&client).await.map_err(failed)?;
    let roles = match output.roles.as_slice() {
        [] => impersonated(&client, &current.identity).await.map_err(failed)?,
        some => some.to_vec(),
    };
    if roles.is_empty() {
        let bot = &current.identity.says().bot_name;
        let message = format!("bot {bot:?} may use no role: give it some with tctl bots update {bot} --add-roles=…");
        return Err(failed(Error::denied(message)));
    }
    let key = KeyPair::generate(current.identity.key().algorithm())
        .map_err(|error| BotError::Machine(format!("cannot make a key: {error}")))?;
    let asked = roles.join(", ");
    let certs = issue(output, hub, &client, &current.identity, roles, &key).await;
    let certs = certs.map_err(|error| failed(with_roles(error, &asked, &current.identity)))?;
    let issued = BotIdentity::new(key, certs).map_err(|error| failed(Error::unavailable(error.to_string())))?;
    put(output, &issued, &authorities)?;
    tracing::info!(
        output = output.name,
        destination = output.sink.describe(),
        "impersonated certificates renewed: {issued}"
    );
    Ok(())
}

/// A refusal, with what was asked for: the server does not tell which role it is about.
fn with_roles(mut error: Error, asked: &str, identity: &BotIdentity) -> Error {
    if error.kind == Kind::Denied {
        let bot = &identity.says().bot_name;
        error.message = format!(
            "{}; roles asked for: {asked}; a bot is given roles by tctl bots update {bot} --add-roles=ROLE",
            error.message
        );
    }
    error
}

/// The roles that the bot's own roles let it use.
async fn impersonated(client: &Client, identity: &BotIdentity) -> Result<Vec<String>, Error> {
    let mut roles = Vec::new();
    for name in &identity.says().roles {
        let role = client.repeat::<GetRole>(proto::GetRoleRequest { name: name.clone() }).await?;
        let allowed = role.spec.and_then(|spec| spec.allow).and_then(|allow| allow.impersonate);
        roles.extend(allowed.map(|conditions| conditions.roles).unwrap_or_default());
    }
    roles.sort();
    roles.dedup();
    Ok(roles)
}

async fn issue(
    output: &Output,
    hub: &Hub,
    client: &Client,
    identity: &BotIdentity,
    roles: Vec<String>,
    key: &KeyPair,
) -> Result<Certificates, Error> {
    let request = proto::UserCertsRequest {
        username: identity.says().username.clone(),
        expires: Some(hub.expires(output.ttl)),
        role_requests: roles,
        use_role_requests: true,
        reissuable_role_impersonation: output.allow_reissue,
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        ..proto::UserCertsRequest::default()
    };
    let certs = client.call::<GenerateUserCerts>(request).await?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| Error::unavailable("unreadable certificates"));
    Ok(Certificates {
        tls: text(certs.tls)?,
        ssh: text(certs.ssh)?.trim().to_owned(),
        tls_authorities: identity.certificates().tls_authorities.clone(),
        ssh_authorities: identity.certificates().ssh_authorities.clone(),
    })
}

fn put(output: &Output, issued: &BotIdentity, authorities: &Authorities) -> Result<(), BotError> {
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
    // The authorities first: whoever sees the new certificate can already verify what it meets.
    output.put("teleport-host-ca.crt", &authorities.host.tls.concat())?;
    output.put("teleport-user-ca.crt", &authorities.user.tls.concat())?;
    output.put("teleport-database-ca.crt", &authorities.database.tls.concat())?;
    output.put("identity", file.render().expose())?;
    output.put("key", key.expose())?;
    output.put("key.pub", &format!("{}\n", issued.key().public().to_authorized_key().trim_end()))?;
    output.put("key-cert.pub", &format!("{}\n", certificates.ssh))?;
    output.put("tlscert", &certificates.tls)?;
    Ok(())
}
