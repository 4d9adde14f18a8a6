//! Who this proxy is: its host certificate, the key, and the authorities of hosts.

use crypto::{
    KeyPair,
    tls::{CertificateChain, Error},
    x509::Certificate,
};

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
}

impl Identity {
    /// From the certificate, its key, and the host authorities that are trusted.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub fn new(certificate: Certificate, key: KeyPair, authorities: Vec<Certificate>) -> Result<Self, Error> {
        let chain = CertificateChain::new(std::slice::from_ref(&certificate), &key)?;
        Ok(Self { certificate, key, chain, authorities })
    }
}
