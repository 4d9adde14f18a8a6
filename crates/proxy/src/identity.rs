//! Who this proxy is: its host certificate, the key, and the authorities of hosts.

use std::sync::Arc;

use crypto::{
    KeyPair,
    ssh::{self, CertificateType},
    tls::{CertificateChain, Error},
    x509::Certificate,
};

use crate::ssh::HostKey;

/// A host certificate of the role Proxy. Replaced as a whole when it is renewed or when authorities rotate.
pub struct Identity {
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// Its key, which also signs what we say about our clients' addresses.
    pub(crate) key: KeyPair,
    /// Both, ready for TLS.
    pub(crate) chain: CertificateChain,
    /// Who issues certificates of hosts.
    pub(crate) authorities: Vec<Certificate>,
    /// What SSH clients are shown; without one none is served.
    pub(crate) ssh: Option<Arc<HostKey>>,
}

impl Identity {
    /// From the certificate, its key, and the host authorities that are trusted.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub fn new(certificate: Certificate, key: KeyPair, authorities: Vec<Certificate>) -> Result<Self, Error> {
        let chain = CertificateChain::new(std::slice::from_ref(&certificate), &key)?;
        Ok(Self { certificate, key, chain, authorities, ssh: None })
    }

    /// With the SSH certificate of the same key, which SSH clients are shown.
    ///
    /// # Errors
    /// The certificate is no host's, or not for the key.
    pub fn with_ssh(self, certificate: ssh::Certificate) -> Result<Self, crypto::KeyError> {
        let is_ours = certificate.cert_type() == CertificateType::Host && certificate.public_key() == self.key.public();
        if !is_ours {
            return Err(crypto::KeyError::Malformed);
        }
        let key = self.key.clone();
        Ok(Self { ssh: Some(Arc::new(HostKey { certificate, key })), ..self })
    }
}
