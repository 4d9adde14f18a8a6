//! What an end of a connection shows: a chain and its key.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Error;
use crate::key::KeyPair;
use crate::x509::Certificate;

/// A certificate, the CA certificates that go with it, and the private key, ready for TLS.
#[derive(Debug, Clone)]
pub struct CertificateChain(pub(super) Arc<CertifiedKey>);

impl CertificateChain {
    /// From the leaf (first), what follows it, and the leaf's key.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the key is not the leaf's.
    pub fn new(chain: &[Certificate], key: &KeyPair) -> Result<Self, Error> {
        let leaf_key = chain.first().ok_or(Error::Mismatch)?.public_key()?;
        if leaf_key != *key.public() {
            return Err(Error::Mismatch);
        }
        let der = key.to_pkcs8_der()?;
        // By reference: the provider's own loader would take a copy that nobody wipes.
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.expose().as_slice()));
        let signer = any_supported_type(&der)?;
        let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        Ok(Self(Arc::new(CertifiedKey::new(chain, signer))))
    }

    /// The same as the TLS library has it, for whoever chooses among several.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// The certificate of a server, which may be replaced while it serves: new handshakes get the new one.
#[derive(Debug)]
pub struct ServerCertificate(RwLock<CertificateChain>);

impl ServerCertificate {
    /// Serves this chain.
    pub fn new(chain: CertificateChain) -> Arc<Self> {
        Arc::new(Self(RwLock::new(chain)))
    }

    /// Serves another chain from now on.
    pub fn set(&self, chain: CertificateChain) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = chain;
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}
