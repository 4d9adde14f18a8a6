//! The server's side: client certificates are asked for, never demanded, and a bad one ends the handshake.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use clock::Clock;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{CertificateError, DistinguishedName, ServerConfig};

use super::{ClockTime, Error, VERSIONS, proof, provider, root_store};
use crate::x509::Certificate;

/// Whether a server asks its clients for certificates.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// Never asks.
    None,
    /// Asks. A client without a certificate is let in as anonymous; one whose certificate is malformed, foreign or
    /// expired is refused in the handshake.
    Optional(Arc<TrustedClients>),
    /// Asks, and takes any certificate whose key the client proves to hold. Who issued it and until when it is good, the
    /// caller must check, on each request: for a surface that answers a bad certificate with a page, not with an alert.
    DangerUnverified,
}

/// A server's TLS configuration: TLS 1.2 and 1.3, these ALPN values (in order of preference), no resumption.
///
/// # Errors
/// The provider refused; in practice never.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    client_auth: ClientAuth,
    alpn: &[&[u8]],
    clock: &Clock,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_details(provider(), Arc::new(ClockTime(clock.clone())))
        .with_protocol_versions(VERSIONS)?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(trusted) => builder.with_client_cert_verifier(trusted),
        ClientAuth::DangerUnverified => builder.with_client_cert_verifier(Arc::new(Unverified)),
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The CAs whose client certificates are accepted: all active user and host CAs, swapped when they rotate.
pub struct TrustedClients(RwLock<Option<Arc<dyn ClientCertVerifier>>>);

impl TrustedClients {
    /// Trusts these CAs; with none, every certificate is refused and only anonymous clients get in.
    ///
    /// # Errors
    /// [`Error::Root`]
    pub fn new(authorities: &[Certificate]) -> Result<Arc<Self>, Error> {
        let trusted = Self(RwLock::new(None));
        trusted.set(authorities)?;
        Ok(Arc::new(trusted))
    }

    /// Trusts these CAs, and only these, from the next handshake or proof on. Connections that stand are not touched: whoever
    /// serves them asks again on each request.
    ///
    /// # Errors
    /// [`Error::Root`]; the old set stays.
    pub fn set(&self, authorities: &[Certificate]) -> Result<(), Error> {
        let verifier = if authorities.is_empty() {
            None
        } else {
            let roots = Arc::new(root_store(authorities)?);
            let built = WebPkiClientVerifier::builder_with_provider(roots, provider()).allow_unauthenticated().build();
            Some(built.map_err(|error| rustls::Error::General(error.to_string()))?)
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        Ok(())
    }

    fn current(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for TrustedClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedClients")
    }
}

impl ClientCertVerifier for TrustedClients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: a client picks its certificate itself. A list would make some clients withhold one that a CA being
    /// rotated in has issued, and would tell strangers who our CAs are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // What our own reader cannot read, no later check could judge.
        Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        self.current().ok_or(CertificateError::UnknownIssuer)?.verify_client_cert(end_entity, intermediates, now)
    }

    proof::methods!();
}

/// Takes any certificate whose key is proved.
#[derive(Debug)]
struct Unverified;

impl ClientCertVerifier for Unverified {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    proof::methods!();
}
