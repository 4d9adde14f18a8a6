//! An SSH host certificate for a server that speaks OpenSSH.

use std::time::Duration;

use audit::{
    ClientMetadata,
    events::cert::{CertificateCreate, CertificateIdentity},
};
use crypto::{PublicKey, ssh};
use domain::{Error, Kind, identity::Identity, role::SystemRole};
use rbac::{HostCert, RuleContext, Verb};

use crate::{Auth, Caller, Operation, decide::Asked, failure::internal};

/// The life of a host certificate when the request names none, or more than [`LONGEST`].
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// The longest life. A host certificate cannot be renewed by its holder, so it may live long; ten years bound a lost key.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What is asked for.
#[derive(Debug)]
pub struct HostCertificate {
    /// The host's SSH key.
    pub key: PublicKey,
    /// The id of the host.
    pub host_id: String,
    /// Its name.
    pub node_name: String,
    /// Further names.
    pub principals: Vec<String>,
    /// What kind of host.
    pub role: SystemRole,
    /// How long it is to live; zero for the ordinary time.
    pub ttl: Duration,
}

/// Issues an SSH host certificate.
///
/// # Errors
/// Denied unless a rule allows `create` of `host_cert`: whoever has a certificate can pass for that host. A condition of the
/// rule sees every name that the certificate would carry.
pub async fn host_certificate(
    auth: &Auth,
    caller: &Caller,
    request: HostCertificate,
) -> Result<ssh::Certificate, Error> {
    auth.require_kind(caller, Operation::IssueHostCertificate, Kind::HostCert, &[Verb::Create])?;
    if request.host_id.is_empty() && request.node_name.is_empty() && request.principals.is_empty() {
        return Err(Error::invalid("principals: a host certificate needs at least one name"));
    }
    let signers = auth.signers()?;
    let now = auth.clock.now();
    let ttl = if request.ttl.is_zero() { LIFETIME } else { request.ttl.min(LONGEST) };
    let not_after = now.saturating_add(ttl).unwrap_or(clock::Timestamp::MAX);
    let host = if request.host_id.is_empty() { &request.node_name } else { &request.host_id };
    let identity = Identity {
        username: if host.is_empty() { String::new() } else { format!("{host}.{}", auth.cluster()) },
        roles: vec![request.role.as_str().to_owned()],
        teleport_cluster: auth.cluster().to_owned(),
        ..Identity::default()
    };
    let template =
        ca::ssh::host_template(&identity, &request.node_name, &request.principals, request.key, now, not_after);
    let body = ca::ssh::to_be_signed(&template, &signers.host_ssh, &auth.random).map_err(|error| match error {
        ca::Error::Refused { .. } => Error::invalid(error.to_string()),
        other => internal("the certificate cannot be made", other),
    })?;
    let read = ssh::Certificate::from_unsigned(&body)
        .map_err(|error| internal("the SSH certificate cannot be read back", error))?;
    // Names that every host has for itself are nobody's to ask for.
    let is_named = |name: &&String| !ca::ssh::LOCAL_NAMES.contains(&name.as_str()) || request.principals.contains(name);
    let principals: Vec<String> = read.principals().iter().filter(is_named).cloned().collect();
    let subject = HostCert {
        cluster_name: auth.cluster(),
        host_id: &request.host_id,
        node_name: &request.node_name,
        principals: &principals,
        role: request.role.as_str(),
    };
    let operation = Operation::IssueHostCertificate;
    let asked = Asked { operation, kind: Kind::HostCert, verb: Verb::Create, name: &principals.join(",") };
    auth.require(caller, &asked, &RuleContext { host_cert: Some(subject), ..RuleContext::NONE })?;
    let event = CertificateCreate {
        client: ClientMetadata::default(),
        cert_type: "host".into(),
        identity: CertificateIdentity {
            user: identity.username.clone(),
            impersonator: caller.name().to_owned(),
            roles: identity.roles.clone(),
            logins: read.principals().to_vec(),
            expires: Some(not_after),
            teleport_cluster: auth.cluster().to_owned(),
            client_ip: caller.remote_ip(),
            ..CertificateIdentity::default()
        },
        ssh_serial_number: Some(read.serial()),
        remote_addr: caller.remote().to_owned(),
        ..CertificateCreate::default()
    };
    auth.store.change().event(&event).commit().await?;
    ca::ssh::sign(body, &signers.host_ssh, &*auth.keystore).await.map_err(|error| internal("signing failed", error))
}
