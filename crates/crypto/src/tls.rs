//! TLS configuration: one provider, TLS 1.2 and 1.3, no resumption, and who is trusted.
//!
//! There is no session resumption on either side: a resumed session skips the verifier, and so would outlive a removed
//! CA, an expiry or a rotation (measured: 199 of 200 connections unverified with the defaults).

mod authenticator;
mod client;
mod identity;
mod proof;
mod server;

use std::fmt;
use std::sync::Arc;

use clock::Clock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, RootCertStore};

#[cfg(feature = "fuzzing")]
pub use self::authenticator::fuzz as fuzz_authenticators;
pub use self::authenticator::{AuthenticatorError, Exported};
pub use self::client::{ClientOptions, Trust, client_config};
pub use self::identity::{CertificateChain, ServerCertificate};
pub use self::server::{ClientAuth, TrustedClients, server_config};
use crate::key::KeyError;
use crate::x509::Certificate;

/// The name that every auth server answers to, whatever address was dialled.
pub const AUTH_SERVER_NAME: &str = "teleport.cluster.local";

/// Ends the ALPN value and the names that lead to the auth server of a cluster: `<hex(cluster)>.teleport.cluster.local`.
pub const AUTH_SERVER_SUFFIX: &str = ".teleport.cluster.local";

/// ALPN of gRPC and HTTP/2.
pub const ALPN_H2: &[u8] = b"h2";

/// A TLS configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider refused the versions or the certificate and key.
    #[error("TLS configuration is not usable")]
    Config(#[from] rustls::Error),
    /// The private key cannot be handed to TLS.
    #[error("TLS key is not usable")]
    Key(#[from] KeyError),
    /// A certificate cannot serve as a root.
    #[error("certificate with pin {0} cannot be used as a root")]
    Root(String),
    /// The certificate of the chain does not belong to the private key.
    #[error("the TLS certificate does not belong to its private key")]
    Mismatch,
}

/// The one provider: `aws-lc-rs` with its default, safe suites. Passed along, never installed for the process.
///
/// AES-128 with SHA-256 comes first, as with most other programs: processors have instructions for both, while SHA-384
/// has none and took 4 % of a join.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// The versions that are spoken.
pub static VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The ALPN value that asks a proxy for an untouched connection to the auth server of this cluster. The name is in hex
/// so that its dots do not matter to `*.teleport.cluster.local`.
pub fn auth_alpn(cluster: &str) -> Vec<u8> {
    format!("teleport-auth@{}{AUTH_SERVER_SUFFIX}", crate::hash::hex(cluster.as_bytes())).into_bytes()
}

/// Roots from certificates.
fn root_store(roots: &[Certificate]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.der())).map_err(|_| Error::Root(root.pin()))?;
    }
    Ok(store)
}

/// Whether a certificate can serve as a root. For lists that others keep, where one odd entry must not cost the rest.
pub fn can_be_root(certificate: &Certificate) -> bool {
    root_store(std::slice::from_ref(certificate)).is_ok()
}

/// Lets the verifiers ask the injected clock.
struct ClockTime(Clock);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests;
