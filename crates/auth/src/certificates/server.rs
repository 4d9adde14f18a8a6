//! This server's own certificate, by which clients recognise it.

use std::time::Duration;

use ca::x509::AlternativeNames;
use clock::Timestamp;
use crypto::{Algorithm, KeyPair, tls::CertificateChain};
use domain::{Error, identity::Identity, role::SystemRole};
use keystore::suite::{Purpose, algorithm_for};

use crate::{Auth, failure::internal};

/// The life of the server's certificate; its key exists in memory only, and both are made anew every quarter of it.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// This server's certificate with its key.
pub struct OwnCertificate {
    /// What is shown in a handshake.
    pub chain: CertificateChain,
    not_before: Timestamp,
    due: Timestamp,
}

impl OwnCertificate {
    /// Whether another one shall be made: a quarter of its life is over, or the wall clock was set back to before it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now < self.not_before || now >= self.due
    }
}

impl Auth {
    /// Makes a key and a certificate for this server: the names that every client asks for, and its own.
    ///
    /// The chain ends with the host CA itself, so that a client with nothing but a pin can check it.
    ///
    /// # Errors
    /// When the host authority cannot sign.
    pub async fn server_certificate(&self) -> Result<OwnCertificate, Error> {
        let signers = self.signers()?;
        let suite =
            self.cache.snapshot().auth_preference().map(|p| p.spec.signature_algorithm_suite).unwrap_or_default();
        let key = generate(algorithm_for(suite, Purpose::HostIdentity)).await?;
        let identity = Identity {
            username: self.host_name(),
            roles: vec![SystemRole::Auth.as_str().to_owned()],
            teleport_cluster: self.cluster().to_owned(),
            ..Identity::default()
        };
        let fixed = [crypto::tls::AUTH_SERVER_NAME, "*.teleport.cluster.local", "localhost", "127.0.0.1", "::1"];
        let own = self.config.server_names.iter().map(String::as_str);
        let names = AlternativeNames::from_hosts(fixed.into_iter().chain(own));
        let now = self.clock.now();
        let not_after = now.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let template = ca::x509::host_template(&identity, key.public().clone(), names, now, not_after);
        let certificate = ca::x509::issue(&template, &signers.host_tls, &*self.keystore, &self.random)
            .await
            .map_err(|error| internal("the server's certificate cannot be signed", error))?;
        let not_before = certificate.not_before();
        let chain = CertificateChain::new(&[certificate, signers.host_tls.certificate.clone()], &key)
            .map_err(|error| internal("the server's certificate cannot be used", error))?;
        Ok(OwnCertificate { chain, not_before, due: now.saturating_add(LIFETIME / 4).unwrap_or(Timestamp::MAX) })
    }
}

/// Makes a key off the runtime's threads: an RSA key takes a good part of a second.
async fn generate(algorithm: Algorithm) -> Result<KeyPair, Error> {
    tokio::task::spawn_blocking(move || KeyPair::generate(algorithm))
        .await
        .map_err(|error| internal("a key was not made", error))?
        .map_err(|error| internal("a key was not made", error))
}
