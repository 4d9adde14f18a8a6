//! The pair of a host: what it may be called, and nothing that lets it pass for something else.

use std::{net::IpAddr, sync::Arc, time::Duration};

use audit::{
    ClientMetadata,
    events::cert::{CertificateCreate, CertificateIdentity},
};
use ca::x509::AlternativeNames;
use clock::Timestamp;
use crypto::{PublicKey, ssh, tls::AUTH_SERVER_NAME, x509};
use domain::{Error, identity::Identity, names, role::SystemRole};

use super::{Issued, Signers};
use crate::{Auth, Caller, failure::internal};

/// The life of a host's certificates. A host renews them long before; one that was off for longer joins again. What was
/// stolen from a host that is gone, and that nobody has locked, is good for so long.
pub const HOST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a host is called.
#[derive(Debug, Clone, Default)]
pub struct HostNames {
    /// Its id.
    pub host_id: String,
    /// Its name.
    pub node_name: String,
    /// Further names and addresses.
    pub principals: Vec<String>,
    /// Further DNS names.
    pub dns_names: Vec<String>,
}

impl HostNames {
    fn further(&self) -> impl Iterator<Item = &String> {
        self.principals.iter().chain(&self.dns_names)
    }

    /// Everything that it is called besides its id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        Some(&self.node_name).filter(|name| !name.is_empty()).into_iter().chain(self.further())
    }
}

/// Who a host is.
pub(crate) fn identity(auth: &Auth, role: SystemRole, host_id: &str) -> Identity {
    Identity {
        username: format!("{host_id}.{}", auth.cluster()),
        roles: vec![role.as_str().to_owned()],
        teleport_cluster: auth.cluster().to_owned(),
        ..Identity::default()
    }
}

/// A pair that is decided, checked and linted, but not signed.
pub(crate) struct Prepared {
    identity: Identity,
    signers: Arc<Signers>,
    tls: (Vec<u8>, x509::Body),
    ssh: Vec<u8>,
    ssh_serial: u64,
    principals: Vec<String>,
}

impl Prepared {
    pub(crate) fn new(
        auth: &Auth,
        role: SystemRole,
        names: &HostNames,
        tls_key: &PublicKey,
        ssh_key: &PublicKey,
    ) -> Result<Self, Error> {
        let signers = auth.signers()?;
        let now = auth.clock.now();
        let authority = signers.host_tls.certificate.not_after();
        let not_after = now.saturating_add(HOST_LIFETIME).unwrap_or(Timestamp::MAX).min(authority);
        let identity = Identity { expires: Some(not_after), ..identity(auth, role, &names.host_id) };
        let unusable = |error: ca::Error| match error {
            ca::Error::Refused { .. } => Error::invalid(error.to_string()),
            other => internal("the certificate cannot be made", other),
        };
        let further = further(auth, role, names)?;
        let service = format!("{}.{AUTH_SERVER_NAME}", role.as_str().to_ascii_lowercase());
        // Nobody dials an SSH host by TLS, nor an agent by any name but that of its id.
        let called: &[String] = if role == SystemRole::Proxy { &further } else { &[] };
        let hosts = [identity.username.as_str(), &service].into_iter().chain(called.iter().map(String::as_str));
        let template =
            ca::x509::host_template(&identity, tls_key.clone(), AlternativeNames::from_hosts(hosts), now, not_after);
        let tls = ca::x509::prepare(&template, &signers.host_tls, &auth.random).map_err(unusable)?;
        let node_name = if has_names(role) { names.node_name.as_str() } else { "" };
        let template = ca::ssh::host_template(&identity, node_name, &further, ssh_key.clone(), now, not_after);
        let ssh = ca::ssh::to_be_signed(&template, &signers.host_ssh, &auth.random).map_err(unusable)?;
        let read = ssh::Certificate::from_unsigned(&ssh)
            .map_err(|error| internal("the SSH certificate cannot be read back", error))?;
        let (ssh_serial, principals) = (read.serial(), read.principals().to_vec());
        Ok(Self { identity, signers, tls, ssh, ssh_serial, principals })
    }

    /// What the certificates say.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When they end.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.identity.expires.unwrap_or(Timestamp::MAX)
    }

    /// The audit event, committed before anything is signed.
    pub(crate) fn event(&self, caller: &Caller) -> CertificateCreate {
        CertificateCreate {
            client: ClientMetadata::default(),
            cert_type: "host".into(),
            identity: CertificateIdentity {
                user: self.identity.username.clone(),
                impersonator: match caller.name() {
                    name if name == self.identity.username => String::new(),
                    name => name.to_owned(),
                },
                roles: self.identity.roles.clone(),
                logins: self.principals.clone(),
                expires: self.identity.expires,
                teleport_cluster: self.identity.teleport_cluster.clone(),
                client_ip: caller.remote_ip(),
                ..CertificateIdentity::default()
            },
            serial_number: self.tls.1.serial_hex(),
            ssh_serial_number: Some(self.ssh_serial),
            remote_addr: caller.remote().to_owned(),
            ..CertificateCreate::default()
        }
    }

    /// Signs. The record must be durable before this is called.
    pub(crate) async fn sign(self, auth: &Auth) -> Result<Issued, Error> {
        let failed = |error: ca::Error| internal("signing failed", error);
        let (tbs, body) = self.tls;
        let key = &self.signers.host_tls.key;
        let tls = ca::x509::sign(&tbs, body, key, &*auth.keystore).await.map_err(failed)?;
        let ssh = ca::ssh::sign(self.ssh, &self.signers.host_ssh, &*auth.keystore).await.map_err(failed)?;
        auth.metrics.issued(true, true);
        Ok(Issued {
            tls: Some(tls),
            ssh: Some(ssh),
            tls_authorities: self.signers.host_certificates.clone(),
            ssh_authorities: self.signers.host_ssh_keys.clone(),
        })
    }
}

/// Whether others dial the host by names that it chooses. An agent is found by its id; a name of its choice would make it
/// an SSH host of that name.
pub(crate) const fn has_names(role: SystemRole) -> bool {
    matches!(role, SystemRole::Proxy | SystemRole::Node)
}

/// The names that were asked for and that the host may have.
fn further(auth: &Auth, role: SystemRole, host: &HostNames) -> Result<Vec<String>, Error> {
    if !has_names(role) {
        return Ok(Vec::new());
    }
    let mut found: Vec<String> = Vec::new();
    for name in [&host.node_name].into_iter().chain(host.further()) {
        if is_of_another(auth, &host.host_id, name) {
            return Err(Error::invalid(format!("DNSNames: {name:?} is the name of another part of the cluster")));
        }
    }
    for name in host.further() {
        if name.parse::<IpAddr>().is_err() {
            names::DNS_NAME.check("DNSNames", name.strip_prefix("*.").unwrap_or(name))?;
        }
        if !found.contains(name) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Whether a name is one by which the auth service or another host is known: whoever has it in a certificate of the host
/// authority can pass for them, also by a wildcard.
fn is_of_another(auth: &Auth, own_id: &str, name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let cluster = auth.cluster().to_ascii_lowercase();
    let is_id = |text: &str| text != own_id && names::UUID.check("", text).is_ok();
    let host = name.strip_suffix(&cluster).and_then(|rest| rest.strip_suffix('.'));
    let is_within = |zone: &str| zone == AUTH_SERVER_NAME || AUTH_SERVER_NAME.ends_with(&format!(".{zone}"));
    is_id(&name)
        || host.is_some_and(|host| host == "*" || is_id(host))
        || name == AUTH_SERVER_NAME
        || name.ends_with(&format!(".{AUTH_SERVER_NAME}"))
        || name.strip_prefix("*.").is_some_and(is_within)
}
