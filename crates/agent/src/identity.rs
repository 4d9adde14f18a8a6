//! A host's identity: one key, its two certificates, and the host authorities of the cluster.

mod directory;

use std::fmt;

use client::{Credentials, CredentialsError};
use clock::Timestamp;
use crypto::{KeyPair, tls::CertificateChain, x509::Certificate};
use domain::role::SystemRole;
use serde::{Deserialize, Serialize};

pub(crate) use self::directory::{Directory, State};

/// What an authority has issued for a key, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// PEM X.509 certificate.
    pub tls: String,
    /// SSH host certificate, one line; empty when none was issued.
    pub ssh: String,
    /// PEM certificates of the cluster's host authority.
    pub tls_authorities: Vec<String>,
    /// Public keys of the cluster's host authority, `authorized_keys` lines.
    pub ssh_authorities: Vec<String>,
}

/// An identity that belongs together: the key is that of the certificates, and they are a host's.
#[derive(Clone)]
pub struct Identity {
    key: KeyPair,
    certificates: Certificates,
    tls: Certificate,
    authorities: Vec<Certificate>,
    says: domain::identity::Identity,
    host_id: String,
    role: SystemRole,
}

/// Why parts are no identity of a host.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct IdentityError {
    what: &'static str,
    reason: String,
}

impl IdentityError {
    fn new(what: &'static str, reason: impl ToString) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part cannot be read, the certificate is not for the key, or its holder is no host.
    pub fn new(key: KeyPair, certificates: Certificates) -> Result<Self, IdentityError> {
        const TLS: &str = "TLS certificate";
        let tls = Certificate::from_pem(&certificates.tls).map_err(|error| IdentityError::new(TLS, error))?;
        if tls.public_key().ok().as_ref() != Some(key.public()) {
            return Err(IdentityError::new(TLS, "is not for the private key"));
        }
        let authorities = Certificate::many_from_pem(&certificates.tls_authorities.concat())
            .map_err(|error| IdentityError::new("TLS authorities", error))?;
        let says = domain::identity::Identity::from_subject(tls.subject())
            .map_err(|error| IdentityError::new(TLS, error.message))?;
        let (Some(role), Some(host_id)) = (says.system_role(), says.host_id().map(str::to_owned)) else {
            return Err(IdentityError::new(TLS, "is not that of a host"));
        };
        Ok(Self { key, certificates, tls, authorities, says, host_id, role })
    }

    /// The private key.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// What was issued, as text.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The X.509 certificate.
    pub fn tls(&self) -> &Certificate {
        &self.tls
    }

    /// The authorities that other hosts are judged by.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The id of this host, a UUID.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// What this host is to the cluster.
    pub fn role(&self) -> SystemRole {
        self.role
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.says.teleport_cluster
    }

    /// When it begins.
    pub fn not_before(&self) -> Timestamp {
        self.tls.not_before()
    }

    /// When it ends.
    pub fn not_after(&self) -> Timestamp {
        self.tls.not_after()
    }

    /// What is shown in a handshake.
    ///
    /// # Errors
    /// When TLS cannot use it.
    pub fn chain(&self) -> Result<CertificateChain, crypto::tls::Error> {
        CertificateChain::new(std::slice::from_ref(&self.tls), &self.key)
    }

    /// For a connection that shows this identity.
    ///
    /// # Errors
    /// When TLS cannot use it.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::in_memory(vec![self.tls.clone()], &self.key, self.authorities.clone())
    }

    /// The same identity, trusting other authorities.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn with_authorities(&self, tls: Vec<String>, ssh: Vec<String>) -> Result<Self, IdentityError> {
        let certificates = Certificates { tls_authorities: tls, ssh_authorities: ssh, ..self.certificates.clone() };
        Self::new(self.key.clone(), certificates)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} {}, until {})", self.role.as_str(), self.host_id, self.not_after())
    }
}
