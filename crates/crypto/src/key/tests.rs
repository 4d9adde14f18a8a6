use std::process::Command;

use proptest::prelude::*;

use super::{Algorithm, KeyError, KeyPair, PublicKey, Scheme};

const ALL: [Algorithm; 3] = [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519];

#[test]
fn every_encoding_of_a_private_key_reads_back() {
    for algorithm in ALL {
        let key = KeyPair::generate(algorithm).unwrap();
        let texts = [key.to_pem().unwrap(), key.to_pkcs8_pem().unwrap(), key.to_openssh_pem("me").unwrap()];
        for text in &texts {
            let text = text.expose();
            assert_eq!(KeyPair::from_pem(text).unwrap().public(), key.public(), "{text}");
            assert!(!format!("{key:?}").contains(&text[60..100]));
        }
        let label = if algorithm == Algorithm::Rsa2048 { "BEGIN RSA PRIVATE KEY" } else { "BEGIN PRIVATE KEY" };
        assert!(texts[0].expose().contains(label));
        let relabelled = texts[0].expose().replace(label, "BEGIN EC PRIVATE KEY");
        let relabelled = relabelled.replace(&label.replace("BEGIN", "END"), "END EC PRIVATE KEY");
        assert_eq!(KeyPair::from_pem(&relabelled).unwrap().public(), key.public());
        let again = KeyPair::from_pkcs8_der(key.to_pkcs8_der().unwrap().expose()).unwrap();
        assert_eq!(again.public(), key.public());
    }
}

#[test]
fn every_encoding_of_a_public_key_reads_back() {
    for algorithm in ALL {
        let key = KeyPair::generate(algorithm).unwrap().public().clone();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(PublicKey::from_spki_der(&key.spki_der()).unwrap(), key);
        assert_eq!(PublicKey::from_pem(&key.to_pem()).unwrap(), key);
        assert_eq!(PublicKey::from_ssh_wire(&key.ssh_wire()).unwrap(), key);
        assert_eq!(PublicKey::from_authorized_key(&format!("{} a comment\n", key.to_authorized_key())).unwrap(), key);
    }
}

#[test]
fn a_signature_holds_for_its_message_key_and_scheme_only() {
    let schemes = [
        Scheme::RsaSha256,
        Scheme::RsaSha384,
        Scheme::RsaSha512,
        Scheme::EcdsaP256Der,
        Scheme::EcdsaP256Fixed,
        Scheme::Ed25519,
    ];
    for algorithm in ALL {
        let (key, other) = (KeyPair::generate(algorithm).unwrap(), KeyPair::generate(algorithm).unwrap());
        let mut usable = 0;
        for scheme in schemes {
            let Ok(signature) = key.sign_with(scheme, b"message") else {
                assert!(matches!(key.public().verify_with(scheme, b"", b""), Err(KeyError::WrongScheme(..))));
                continue;
            };
            usable += 1;
            key.public().verify_with(scheme, b"message", &signature).unwrap();
            assert_eq!(key.public().verify_with(scheme, b"massage", &signature), Err(KeyError::BadSignature));
            assert_eq!(other.public().verify_with(scheme, b"message", &signature), Err(KeyError::BadSignature));
            assert_eq!(key.public().verify_with(scheme, b"message", &signature[1..]), Err(KeyError::BadSignature));
        }
        assert_eq!(
            usable,
            match algorithm {
                Algorithm::Rsa2048 => 3,
                Algorithm::EcdsaP256 => 2,
                Algorithm::Ed25519 => 1,
            }
        );
        key.public().verify(b"m", &key.sign(b"m").unwrap()).unwrap();
    }
}

#[test]
fn openssl_and_ssh_keygen_read_what_we_write_and_write_what_we_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    for (algorithm, kind) in
        [(Algorithm::Rsa2048, "rsa"), (Algorithm::EcdsaP256, "ecdsa"), (Algorithm::Ed25519, "ed25519")]
    {
        let key = KeyPair::generate(algorithm).unwrap();
        for text in [key.to_pem().unwrap(), key.to_pkcs8_pem().unwrap()] {
            std::fs::write(&path, text.expose()).unwrap();
            assert_eq!(run("openssl", &["pkey", "-pubout", "-in", path.to_str().unwrap()]), key.public().to_pem());
        }
        private_file(&path, key.to_openssh_pem("a comment").unwrap().expose());
        let line = run("ssh-keygen", &["-y", "-f", path.to_str().unwrap()]);
        assert_eq!(line.trim_end(), format!("{} a comment", key.public().to_authorized_key()));
        let fingerprint = run("ssh-keygen", &["-l", "-f", path.to_str().unwrap()]);
        assert!(fingerprint.contains(&key.public().ssh_fingerprint()), "{fingerprint}");

        let theirs = dir.path().join(kind);
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", theirs.to_str().unwrap()]);
        let read = KeyPair::from_pem(&std::fs::read_to_string(&theirs).unwrap()).unwrap();
        let public = std::fs::read_to_string(theirs.with_extension("pub")).unwrap();
        assert_eq!(*read.public(), PublicKey::from_authorized_key(&public).unwrap());
        read.public().verify(b"m", &read.sign(b"m").unwrap()).unwrap();
        run("ssh-keygen", &["-q", "-p", "-N", "secret", "-f", theirs.to_str().unwrap()]);
        assert_eq!(KeyPair::from_pem(&std::fs::read_to_string(&theirs).unwrap()).unwrap_err(), KeyError::Encrypted);
    }
    let sec1 = dir.path().join("sec1");
    run("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", sec1.to_str().unwrap()]);
    KeyPair::from_pem(&std::fs::read_to_string(&sec1).unwrap()).unwrap();
}

#[test]
fn weak_and_foreign_keys_are_refused() {
    let small = run("openssl", &["genrsa", "1024"]);
    assert!(KeyPair::from_pem(&small).is_err());
    let foreign = run("openssl", &["ecparam", "-name", "secp384r1", "-genkey", "-noout"]);
    assert!(KeyPair::from_pem(&foreign).is_err());
    assert_eq!(KeyPair::from_pem("").unwrap_err(), KeyError::Missing);
    let mut point = KeyPair::generate(Algorithm::EcdsaP256).unwrap().public().raw();
    point[64] ^= 1;
    assert!(PublicKey::from_p256_point(&point).is_err());
    assert!(PublicKey::from_rsa(&[0xff; 256], &[1]).is_err());
    assert!(PublicKey::from_rsa(&[0xff; 255], &[1, 0, 1]).is_err());
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,80}") {
        let _ = PublicKey::from_spki_der(&bytes);
        let _ = PublicKey::from_pkcs1_der(&bytes);
        let _ = PublicKey::from_ssh_wire(&bytes);
        let _ = KeyPair::from_pkcs8_der(&bytes);
        let _ = super::openssh::read(&[b"openssh-key-v1\0", &bytes[..]].concat());
        let _ = PublicKey::from_authorized_key(&text);
        let _ = KeyPair::from_pem(&super::encode_pem("OPENSSH PRIVATE KEY", &bytes));
    }

    #[test]
    fn changed_keys_never_panic(at in 0_usize..600, to in any::<u8>(), algorithm in 0_usize..3) {
        let key = fixed(algorithm);
        let mut spki = key.public().spki_der();
        let length = spki.len();
        spki[at % length] = to;
        let _ = PublicKey::from_spki_der(&spki);
        let mut wire = key.public().ssh_wire();
        let length = wire.len();
        wire[at % length] = to;
        let _ = PublicKey::from_ssh_wire(&wire);
    }
}

#[test]
fn an_ssh_key_has_one_encoding() {
    let key = |exponent: &[u8], modulus: &[u8]| {
        let mut writer = crate::ssh::wire::Writer::default();
        [b"ssh-rsa".as_slice(), exponent, modulus].iter().for_each(|field| writer.string(field));
        PublicKey::from_ssh_wire(&writer.into_bytes())
    };
    let modulus = [vec![0, 0x80], vec![0x81; 255]].concat();
    assert!(key(&[1, 0, 1], &modulus).is_ok());
    assert!(key(&[0, 1, 0, 1], &modulus).is_err(), "a zero before the exponent");
    assert!(key(&[1, 0, 1], &[&[0], &modulus[..]].concat()).is_err(), "two zeros before the modulus");
    assert!(key(&[1, 0, 1], &modulus[1..]).is_err(), "a negative modulus");
}

/// One key of each kind, made once.
fn fixed(algorithm: usize) -> KeyPair {
    static KEYS: std::sync::LazyLock<[KeyPair; 3]> =
        std::sync::LazyLock::new(|| ALL.map(|algorithm| KeyPair::generate(algorithm).unwrap()));
    KEYS[algorithm].clone()
}

fn private_file(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
