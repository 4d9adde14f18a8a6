//! A bot's own identity: one key, its two certificates, and the authorities of the cluster.

mod exchange;
mod grace;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;

use client::{Credentials, CredentialsError};
use clock::Timestamp;
use crypto::{KeyPair, hash, ssh, x509::Certificate};
use domain::identity::Identity;

pub(crate) use self::exchange::{Exchange, key_algorithm, wire_time};
pub(crate) use self::state::{Pending, Question};
pub use self::state::{State, StateError};

/// What an authority has issued for a key, as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Certificates {
    /// PEM X.509 certificate.
    pub tls: String,
    /// SSH certificate, one line.
    pub ssh: String,
    /// PEM certificates of the cluster's host authority.
    pub tls_authorities: Vec<String>,
    /// Public keys of the cluster's host authority, `authorized_keys` lines.
    pub ssh_authorities: Vec<String>,
}

/// An identity that belongs together: the key is that of both certificates.
#[derive(Clone)]
pub struct BotIdentity {
    key: KeyPair,
    certificates: Certificates,
    tls: Certificate,
    authorities: Vec<Certificate>,
    says: Identity,
    principals: Vec<String>,
}

/// Why parts are no identity.
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

impl BotIdentity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part cannot be read, or a certificate is not for the key.
    pub fn new(key: KeyPair, certificates: Certificates) -> Result<Self, IdentityError> {
        let tls =
            Certificate::from_pem(&certificates.tls).map_err(|error| IdentityError::new("TLS certificate", error))?;
        let ssh = ssh::Certificate::from_line(&certificates.ssh)
            .map_err(|error| IdentityError::new("SSH certificate", error))?;
        if tls.public_key().ok().as_ref() != Some(key.public()) {
            return Err(IdentityError::new("TLS certificate", "is not for the private key"));
        }
        if ssh.public_key() != key.public() {
            return Err(IdentityError::new("SSH certificate", "is not for the private key"));
        }
        let authorities = Certificate::many_from_pem(&certificates.tls_authorities.concat())
            .map_err(|error| IdentityError::new("TLS authorities", error))?;
        let says =
            Identity::from_subject(tls.subject()).map_err(|error| IdentityError::new("TLS certificate", error))?;
        let principals = ssh.principals().to_vec();
        Ok(Self { key, certificates, tls, authorities, says, principals })
    }

    /// The private key of both certificates.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The X.509 certificate.
    pub fn tls(&self) -> &Certificate {
        &self.tls
    }

    /// What was issued, as text.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The authorities that servers of the cluster are judged by.
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

    /// The same identity, trusting other authorities.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn with_authorities(&self, tls: Vec<String>, ssh: Vec<String>) -> Result<Self, IdentityError> {
        let certificates = Certificates { tls_authorities: tls, ssh_authorities: ssh, ..self.certificates.clone() };
        Self::new(self.key.clone(), certificates)
    }

    /// For a connection that shows this identity.
    ///
    /// # Errors
    /// When TLS cannot use it.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Credentials::in_memory(vec![self.tls.clone()], &self.key, self.authorities.clone())
    }
}

/// The summary that people look for in the log; the principals are those of the SSH certificate.
impl fmt::Display for BotIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, before) = (self.not_before(), self.not_after());
        let seconds = u64::try_from(before.as_second() - after.as_second()).unwrap_or(0);
        let duration = domain::form::duration::format(std::time::Duration::from_secs(seconds));
        let says = &self.says;
        write!(
            f,
            "valid: after={after}, before={before}, duration={duration} | kind=tls, renewable={}, \
             disallow-reissue={}, roles=[{}], principals=[{}], generation={}",
            says.renewable,
            says.disallow_reissue,
            says.roles.join(" "),
            self.principals.join(" "),
            says.generation
        )
    }
}

impl fmt::Debug for BotIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotIdentity({self})")
    }
}

/// How a token is remembered: whoever reads the state learns nothing that can join.
pub(crate) fn token_hash(token: &str) -> String {
    hash::sha256_hex(token.as_bytes())
}
