//! X.509 and SSH certificates, and tokens.

use crypto::{PublicKey, ssh, x509};
use domain::identity::Identity;

use crate::text;

/// X.509: DER, PEM, chains; and what a subject says.
pub fn x509_certificates(data: &[u8]) {
    let text = text(data);
    let mut read: Vec<x509::Certificate> = x509::Certificate::from_der(data).into_iter().collect();
    read.extend(x509::Certificate::from_pem(&text));
    read.extend(x509::Certificate::many_from_pem(&text).unwrap_or_default());
    for certificate in &read {
        let again = x509::Certificate::from_pem(&certificate.to_pem()).expect("our own text");
        assert_eq!(again.der(), certificate.der());
        let _ = (certificate.serial_hex(), certificate.common_name(), certificate.pin(), certificate.public_key());
        let _ = certificate.verify_signed_by(certificate);
        assert!(certificate.not_before().as_second() < certificate.not_after().as_second() + i64::from(u32::MAX) * 100);
        let Ok(identity) = Identity::from_subject(certificate.subject()) else { continue };
        let subject: Vec<_> = identity.to_subject().into_iter().map(|(oid, value)| (oid.to_owned(), value)).collect();
        let back = Identity::from_subject(&subject).expect("our own subject");
        assert_eq!(back.username, identity.username);
        assert_eq!(back.roles, identity.roles);
        assert_eq!(back.generation, identity.generation);
    }
    let _ = x509::Body::from_der(data);
}

/// SSH certificates: on the wire and as a line; and what they say.
pub fn ssh_certificates(data: &[u8]) {
    let _ = ssh::Certificate::from_unsigned(data);
    let text = text(data);
    for certificate in [ssh::Certificate::from_wire(data), ssh::Certificate::from_line(&text)].into_iter().flatten() {
        let again = ssh::Certificate::from_line(&certificate.to_line()).expect("our own line");
        assert_eq!(again.wire(), certificate.wire());
        let _ = (certificate.verify(), certificate.valid_after(), certificate.valid_before());
        let options = certificate.critical_options().iter().cloned().collect();
        let extensions = certificate.extensions().iter().cloned().collect();
        let identity = Identity::from_ssh(certificate.key_id(), certificate.principals(), &options, &extensions);
        if let Ok(identity) = identity {
            let _ = (identity.ssh_extensions(), identity.ssh_critical_options(), identity.ssh_host_extensions());
        }
    }
}

/// Signed tokens, against keys that have signed none.
pub fn jwts(data: &[u8]) {
    let keys: Vec<_> = PublicKey::from_ed25519(&[9; 32]).into_iter().collect();
    assert!(ca::jwt::verify(&text(data), "JWT", &keys).is_err());
}

/// Exported authenticators, as they are at the head of a stream.
pub fn authenticators(data: &[u8]) {
    crypto::tls::fuzz_authenticators(data);
}
