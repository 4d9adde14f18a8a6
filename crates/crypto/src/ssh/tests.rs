use proptest::prelude::*;

use super::{Certificate, instant, wire};
use crate::{Algorithm, KeyPair, Scheme};

#[test]
fn a_certificate_of_ssh_keygen_reads_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new("ssh-keygen").current_dir(dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for (ca, kind) in [("ed25519", "ecdsa"), ("ecdsa", "rsa"), ("rsa", "ed25519")] {
        let _ = std::fs::remove_file(dir.path().join("ca"));
        let _ = std::fs::remove_file(dir.path().join("key"));
        run(&["-q", "-t", ca, "-N", "", "-f", "ca"]);
        run(&["-q", "-t", kind, "-N", "", "-f", "key"]);
        run(&[
            "-q",
            "-s",
            "ca",
            "-I",
            "an id",
            "-n",
            "root,alice",
            "-z",
            "77",
            "-V",
            "20260101000000Z:20270101000000Z",
            "-O",
            "source-address=10.0.0.0/8",
            "-O",
            "extension:bot-name@goteleport.com=ci",
            "key.pub",
        ]);
        let line = std::fs::read_to_string(dir.path().join("key-cert.pub")).unwrap();
        let certificate = Certificate::from_line(&line).unwrap();
        certificate.verify().unwrap();
        assert_eq!((certificate.key_id(), certificate.serial()), ("an id", 77));
        assert_eq!(certificate.principals(), ["root", "alice"]);
        assert_eq!(certificate.valid_after().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(certificate.critical_options(), [("source-address".to_owned(), "10.0.0.0/8".to_owned())]);
        assert_eq!(certificate.extension("bot-name@goteleport.com"), Some("ci"));
        assert_eq!(certificate.extension("permit-pty"), Some(""));
        assert!(line.starts_with(&certificate.to_line()));

        let mut changed = certificate.wire().to_vec();
        let at = changed.windows(5).position(|window| window == b"alice").unwrap();
        changed[at] = b'b';
        assert!(Certificate::from_wire(&changed).unwrap().verify().is_err());
    }
}

#[test]
fn signatures_of_every_scheme_have_their_wire_form() {
    for algorithm in [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let key = KeyPair::generate(algorithm).unwrap();
        let scheme = Scheme::ssh(algorithm);
        // Often enough to meet an r or s with a leading zero or a set top bit.
        for round in 0_u16..if algorithm == Algorithm::EcdsaP256 { 600 } else { 2 } {
            let message = round.to_be_bytes();
            let blob = super::signature_blob(scheme, &key.sign_with(scheme, &message).unwrap()).unwrap();
            super::verify_blob(key.public(), &message, &blob).unwrap();
            assert!(super::verify_blob(key.public(), b"other", &blob).is_err());
        }
    }
}

#[test]
fn times_beyond_the_calendar_are_its_end() {
    assert_eq!(instant(u64::MAX), clock::Timestamp::MAX);
    assert_eq!(instant(0), clock::Timestamp::UNIX_EPOCH);
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in ".{0,80}") {
        let _ = Certificate::from_line(&text);
        let _ = Certificate::from_wire(&bytes);
        let mut headed = wire::Writer::default();
        headed.string(b"ssh-ed25519-cert-v01@openssh.com");
        headed.string(b"nonce");
        headed.string(&[7; 32]);
        headed.raw(&bytes);
        let _ = Certificate::from_wire(&headed.into_bytes());
        let _ = super::verify_blob(KeyPair::from_ed25519_seed(&[1; 32]).unwrap().public(), b"", &bytes);
    }

    #[test]
    fn numbers_read_back(number in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut writer = wire::Writer::default();
        writer.mpint(&number);
        let bytes = writer.into_bytes();
        let digits: Vec<u8> = number.into_iter().skip_while(|byte| *byte == 0).collect();
        prop_assert_eq!(wire::Reader::new(&bytes).mpint().unwrap(), digits);
    }
}
