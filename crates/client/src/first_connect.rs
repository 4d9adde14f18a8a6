//! The first connection of somebody who holds a pin, or nothing: learn the cluster's authorities before a secret is sent.
//!
//! Two connections are made. The first carries no certificate of ours and one question, `GetClusterCACert`; the answer
//! is checked against the pins. Everything secret (a join token) goes over the second, which trusts only what passed.

use std::sync::Arc;

use api::methods;
use crypto::x509::Certificate;
use domain::Error;
use rustls::{
    CertificateError, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{Client, Config, ConnectError, Credentials, Trust};

/// Asks a server for its cluster's authorities and keeps those that `config.trust` lets pass.
///
/// # Errors
/// Denied when no authority has one of the pins, unavailable when nobody answers.
pub async fn fetch_authorities(config: &Config) -> Result<Vec<Certificate>, Error> {
    match &config.trust {
        Trust::Credentials => return Ok(config.credentials.authorities().to_vec()),
        Trust::Authorities(authorities) => return Ok(authorities.clone()),
        Trust::Pins(_) | Trust::DangerAnything => {}
    }
    let mut anonymous = config.clone();
    anonymous.credentials = Credentials::none();
    let answer = Client::open(anonymous)?.call::<methods::proto::auth_service::GetClusterCaCert>(()).await?;
    let text = String::from_utf8_lossy(&answer.tls_ca);
    let presented = Certificate::many_from_pem(&text)
        .map_err(|error| Error::unavailable(format!("the server's authorities cannot be read: {error}")))?;
    let Trust::Pins(pins) = &config.trust else { return Ok(presented) };
    let pins = normalise(pins)?;
    let (known, others): (Vec<_>, Vec<_>) = presented.into_iter().partition(|one| pins.contains(&one.pin()));
    if known.is_empty() { Err(Error::denied(wrong_pin(&others))) } else { Ok(known) }
}

/// Lower case and well-formed, or an error that shows what a pin looks like.
fn normalise(pins: &[String]) -> Result<Vec<String>, ConnectError> {
    let check = |pin: &String| {
        let text = pin.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        match digits.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            true => Ok(text),
            false => Err(ConnectError::Credentials {
                reason: format!("{pin:?} is no CA pin; it looks like sha256:<64 hex digits>, see tctl status"),
            }),
        }
    };
    pins.iter().map(check).collect()
}

fn wrong_pin(presented: &[Certificate]) -> String {
    let shown = presented.iter().map(Certificate::pin).collect::<Vec<_>>().join(", ");
    format!(
        "the server's authority has none of the configured CA pins: it shows {}. Compare with `tctl status` on the auth \
         host; if they differ there too, this is not the cluster you meant",
        if shown.is_empty() { "none" } else { &shown }
    )
}

/// Accepts a server that shows a pinned authority, or none at all (then the answer decides); refuses one that shows
/// only others, so that a wrong pin ends in the handshake.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    pins: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinVerifier {
    pub(crate) fn new(pins: &[String]) -> Result<Self, ConnectError> {
        Ok(Self { pins: normalise(pins)?, algorithms: algorithms() })
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let read = |der: &CertificateDer<'_>| {
            Certificate::from_der(der).map_err(|_| rustls::Error::from(CertificateError::BadEncoding))
        };
        let leaf = read(end_entity)?;
        let shown = intermediates.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let authorities: Vec<_> = shown.into_iter().filter(Certificate::is_ca).collect();
        let pinned = authorities.iter().find(|one| self.pins.contains(&one.pin()));
        match pinned {
            Some(authority) if leaf.verify_signed_by(authority).is_ok() => Ok(ServerCertVerified::assertion()),
            None if authorities.is_empty() => Ok(ServerCertVerified::assertion()),
            _ => Err(rustls::Error::General(wrong_pin(&authorities))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts every server. Only behind [`Trust::DangerAnything`].
#[derive(Debug)]
pub(crate) struct DangerAcceptAnything(WebPkiSupportedAlgorithms);

impl DangerAcceptAnything {
    pub(crate) fn new() -> Self {
        Self(algorithms())
    }
}

impl ServerCertVerifier for DangerAcceptAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    let provider: Arc<rustls::crypto::CryptoProvider> = crypto::tls::provider();
    provider.signature_verification_algorithms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_is_none_is_refused_with_an_example() {
        let good = format!("SHA256:{}", "Ab".repeat(32));
        assert_eq!(normalise(&[good]).expect("a pin"), [format!("sha256:{}", "ab".repeat(32))]);
        for bad in ["", "sha256:", "abcd", &format!("sha256:{}", "g".repeat(64)), &format!("sha1:{}", "a".repeat(64))] {
            assert!(normalise(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
