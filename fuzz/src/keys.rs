//! Keys in all their encodings, and identity files.

use client::{Credentials, IdentityFile};
use crypto::{KeyPair, PublicKey};

use crate::text;

/// Private keys: PEM with every label, and PKCS#8.
pub fn private_keys(data: &[u8]) {
    let text = text(data);
    for key in [KeyPair::from_pem(&text), KeyPair::from_pkcs8_der(data)].into_iter().flatten() {
        let pem = key.to_pem().expect("a key that was read is written");
        assert_eq!(KeyPair::from_pem(pem.expose()).expect("our own text").public(), key.public());
        let signature = key.sign(b"message").expect("a key that was read signs");
        key.public().verify(b"message", &signature).expect("its own signature");
        assert!(!format!("{key:?}").contains(pem.expose().as_str()), "a private key in a Debug text");
    }
}

/// Public keys: PEM, SubjectPublicKeyInfo, PKCS#1 and lines of `authorized_keys`.
pub fn public_keys(data: &[u8]) {
    let text = text(data);
    let read = [
        PublicKey::from_pem(&text),
        PublicKey::from_spki_der(data),
        PublicKey::from_pkcs1_der(data),
        PublicKey::from_authorized_key(&text),
    ];
    read.into_iter().flatten().for_each(check);
}

/// SSH public keys on the wire.
pub fn ssh_keys(data: &[u8]) {
    if let Ok(key) = PublicKey::from_ssh_wire(data) {
        assert_eq!(key.ssh_wire(), data, "one key, one encoding");
        check(key);
    }
    // A signature blob after its key's length, as in a certificate.
    let (blob, message) = data.split_at(data.len() / 2);
    let key = PublicKey::from_ed25519(&[9; 32]).or_else(|_| PublicKey::from_ssh_wire(blob));
    if let Ok(key) = key {
        assert!(crypto::ssh::verify_blob(&key, message, blob).is_err());
    }
}

fn check(key: PublicKey) {
    assert_eq!(PublicKey::from_spki_der(&key.spki_der()).expect("our own bytes"), key);
    assert_eq!(PublicKey::from_pem(&key.to_pem()).expect("our own text"), key);
    assert_eq!(PublicKey::from_ssh_wire(&key.ssh_wire()).expect("our own bytes"), key);
    assert_eq!(PublicKey::from_authorized_key(&key.to_authorized_key()).expect("our own line"), key);
    assert!(key.verify(b"message", b"no signature").is_err());
}

/// Identity files, as `tctl auth sign` and `tbot` write them.
pub fn identity_files(data: &[u8]) {
    let Ok(file) = IdentityFile::parse(&text(data)) else { return };
    let again = IdentityFile::parse(file.render().expose()).expect("our own text");
    assert_eq!(again.ssh_certificate, file.ssh_certificate);
    assert_eq!(again.tls_authorities.len(), file.tls_authorities.len());
    let _ = Credentials::from_identity(&file);
}
