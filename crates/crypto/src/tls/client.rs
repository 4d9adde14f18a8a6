//! The client's side: how the server is trusted.

use std::sync::Arc;

use clock::Clock;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig};

use super::{CertificateChain, ClockTime, Error, VERSIONS, proof, provider, root_store};
use crate::x509::Certificate;

/// How a client knows the server.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The chain ends in one of these.
    Roots(Vec<Certificate>),
    /// As [`Self::Roots`], where a server stands in front of the one that is asked for and may prove that it is itself.
    Front {
        /// Where the chain ends.
        roots: Vec<Certificate>,
        /// The name of the server in front.
        name: String,
    },
    /// The chain contains a CA certificate with one of these pins (`sha256:…` over its SPKI), and that CA issued the
    /// server's certificate for the name that is asked for: the first contact of a bot that has no CA yet.
    Pins(Vec<String>),
    /// Anybody. Only for the few calls that bring nothing secret and check the answer otherwise.
    DangerAnyServer,
}

/// What a client configuration consists of.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How the server is known.
    pub trust: Trust,
    /// The client's own certificate, shown whenever the server asks, whatever CAs it names.
    pub certificate: Option<CertificateChain>,
    /// ALPN values in order of preference, usually [`super::ALPN_H2`].
    pub alpn: Vec<Vec<u8>>,
}

/// A client's TLS configuration: TLS 1.2 and 1.3, no resumption. The name to verify and to send as SNI is given when
/// connecting, usually [`super::AUTH_SERVER_NAME`].
///
/// # Errors
/// A root that cannot be one; otherwise in practice never.
pub fn client_config(options: ClientOptions, clock: &Clock) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock.clone())))
        .with_protocol_versions(VERSIONS)?;
    let builder = match options.trust {
        Trust::Roots(roots) => builder.with_root_certificates(root_store(&roots)?),
        Trust::Front { roots, name } => {
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(root_store(&roots)?), provider()).build();
            let inner = inner.map_err(|error| rustls::Error::General(error.to_string()))?;
            // A front without a usable name proves nothing by it.
            let name = ServerName::try_from(name).ok();
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Front { inner, name }))
        }
        Trust::Pins(pins) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned(pins))),
        Trust::DangerAnyServer => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer)),
    };
    let mut config = match options.certificate {
        Some(chain) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(chain.0))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = options.alpn;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Trusts what is issued for the name that is asked for, or for another one.
#[derive(Debug)]
struct Front {
    inner: Arc<WebPkiServerVerifier>,
    name: Option<ServerName<'static>>,
}

impl ServerCertVerifier for Front {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_for = |name| self.inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        is_for(server_name).or_else(|error| self.name.as_ref().and_then(|name| is_for(name).ok()).ok_or(error))
    }

    proof::methods!();
}

/// Trusts a CA by its pin, and what it issued.
#[derive(Debug)]
struct Pinned(Vec<String>);

impl Pinned {
    fn is_pinned(&self, certificate: &Certificate) -> bool {
        let pin = certificate.pin();
        self.0.iter().any(|wanted| crate::constant_time_eq(wanted.to_ascii_lowercase().as_bytes(), pin.as_bytes()))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots: Vec<Certificate> = intermediates
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok())
            .filter(|certificate| certificate.is_ca() && self.is_pinned(certificate))
            .collect();
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let roots = root_store(&roots).map_err(|_| CertificateError::BadEncoding)?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    proof::methods!();
}

/// Trusts whoever holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    proof::methods!();
}
