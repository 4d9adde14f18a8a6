//! TLS-ALPN-01 (RFC 8737): the authority shakes hands on the public port, and finds its word in the certificate.

use std::sync::Arc;

use crypto::{
    KeyPair,
    hash::sha256,
    tls::{CertificateChain, ClientAuth, ServerCertificate, server_config},
    x509::Certificate,
};
use rcgen::{CertificateParams, CustomExtension};
use rustls::{ServerConfig, server::ResolvesServerCert};

use crate::{Proxy, router::ACME};

/// The handshake that answers for `name`; none where there is nothing to answer.
pub(crate) async fn config(proxy: &Proxy, name: &str) -> Option<Arc<ServerConfig>> {
    let challenge = super::challenge_of(proxy, name).await?;
    let chain = certificate(name, &sha256(challenge.key_authorization.as_bytes()))?;
    let certificate: Arc<dyn ResolvesServerCert> = ServerCertificate::new(chain);
    tracing::info!(name, "an ACME authority asks for this name");
    server_config(certificate, ClientAuth::None, &[ACME], &proxy.ports.clock).ok()
}

/// A certificate that is good for nothing else: self-signed, with the critical extension that says so.
fn certificate(name: &str, digest: &[u8]) -> Option<CertificateChain> {
    let key = rcgen::KeyPair::generate().ok()?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).ok()?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).ok()?;
    let certificate = Certificate::from_der(certificate.der()).ok()?;
    CertificateChain::new(&[certificate], &KeyPair::from_pkcs8_der(&key.serialize_der()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_one_name_and_the_digest_in_a_critical_extension() {
        let digest = sha256(b"token.thumbprint");
        let chain = certificate("grafana.proxy.example", &digest).unwrap();
        let leaf = Certificate::from_der(&chain.certified().cert[0]).unwrap();
        assert_eq!(leaf.dns_names(), ["grafana.proxy.example"]);
        assert!(leaf.is_critical("1.3.6.1.5.5.7.1.31"));
        let octets = [&[4, 32][..], &digest].concat();
        assert_eq!(leaf.extension("1.3.6.1.5.5.7.1.31"), Some(&octets[..]));
    }
}
