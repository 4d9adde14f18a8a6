//! What a program of the cluster is: its key, what was issued for it, and whom it trusts.

use clock::Timestamp;
use crypto::{KeyPair, x509::Certificate};
use domain::identity::Identity;
use serde::{Deserialize, Serialize};

use crate::{Credentials, CredentialsError};

/// What an authority has issued for a key, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// PEM X.509 certificate.
    pub tls: String,
    /// SSH certificate, one line; empty when none was issued.
    pub ssh: String,
    /// PEM certificates of the cluster's host authority.
    pub tls_authorities: Vec<String>,
    /// Public keys of the cluster's host authority, `authorized_keys` lines.
    pub ssh_authorities: Vec<String>,
}

/// Why parts are no identity.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct IdentityError {
    what: &'static str,
    reason: String,
}

impl IdentityError {
    /// `what` is the part, `reason` what is wrong with it.
    pub fn new(what: &'static str, reason: impl ToString) -> Self {
        Self { what, reason: reason.to_string() }
    }
}

/// A key and its X.509 certificate, which belong together.
#[derive(Clone)]
pub struct Held {
    key: KeyPair,
    certificates: Certificates,
    tls: Certificate,
    authorities: Vec<Certificate>,
    says: Identity,
}

impl Held {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part cannot be read, or the X.509 certificate is not for the key.
    pub fn new(key: KeyPair, certificates: Certificates) -> Result<Self, IdentityError> {
        const TLS: &str = "TLS certificate";
        let tls = Certificate::from_pem(&certificates.tls).map_err(|error| IdentityError::new(TLS, error))?;
        if tls.public_key().ok().as_ref() != Some(key.public()) {
            return Err(IdentityError::new(TLS, "is not for the private key"));
        }
        let authorities = Certificate::many_from_pem(&certificates.tls_authorities.concat())
            .map_err(|error| IdentityError::new("TLS authorities", error))?;
        let says = Identity::from_subject(tls.subject()).map_err(|error| IdentityError::new(TLS, error.message))?;
        Ok(Self { key, certificates, tls, authorities, says })
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

    /// The authorities that servers and other hosts of the cluster are judged by.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// What the certificate says.
    pub fn says(&self) -> &Identity {
        &self.says
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

    /// What was issued, with other authorities.
    pub fn trusting(&self, tls: Vec<String>, ssh: Vec<String>) -> Certificates {
        Certificates { tls_authorities: tls, ssh_authorities: ssh, ..self.certificates.clone() }
    }

    /// For a connection that shows this identity.
    ///
    /// # Errors
    /// When TLS cannot use it.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::in_memory(vec![self.tls.clone()], &self.key, self.authorities.clone())
    }
}
