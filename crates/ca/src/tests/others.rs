//! What other programs say about our credentials.

use crypto::ssh::CertificateType;
use crypto::x509::KeyUsage;
use crypto::{Algorithm, KeyPair};
use domain::ca::CaType;
use domain::identity::Identity;
use domain::suite::Suite;
use keystore::{KeyKind, KeyStore as _};

use super::{CLUSTER, World, identity, later, now, run, subject_key, try_run};
use crate::authority::{self, key_kinds, ssh_signer, stored_keys, tls_signer, trusted_certificates};
use crate::revocation::{KeyRevocationList, Reason, Revoked, SshRevocation, x509_crl};
use crate::x509::{AlternativeNames, Template, Usage};
use crate::{Error, ssh, x509};

const SUITES: [Suite; 4] = [Suite::Legacy, Suite::BalancedV1, Suite::FipsV1, Suite::HsmV1];
const SUBJECTS: [Algorithm; 3] = [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519];

#[tokio::test]
async fn every_authority_has_its_keys_sealed_and_named() {
    let world = World::new();
    for ca_type in CaType::CREATED {
        let ca = world.authority(ca_type, Suite::BalancedV1).await;
        let keys = &ca.spec.active_keys;
        let found = [(keys.ssh.len(), KeyKind::Ssh), (keys.tls.len(), KeyKind::Tls), (keys.jwt.len(), KeyKind::Jwt)];
        for (count, kind) in found {
            assert_eq!(count, usize::from(key_kinds(ca_type).contains(&kind)), "{ca_type} {kind:?}");
        }
        let stored = stored_keys(&ca).unwrap();
        assert_eq!(stored.len(), key_kinds(ca_type).len());
        for key in &stored {
            world.keys.check(key).await.unwrap();
            let der = world.keys.export_key(key).await.unwrap().to_pkcs8_der().unwrap();
            assert!(!key.sealed.expose().windows(24).any(|part| der.expose().windows(24).any(|other| other == part)));
        }
        for certificate in trusted_certificates(&ca).unwrap() {
            let attributes: Vec<_> =
                certificate.subject().iter().map(|(oid, value)| (oid.as_str(), value.as_str())).collect();
            assert_eq!(attributes[..2], [("2.5.4.10", CLUSTER), ("2.5.4.3", CLUSTER)]);
            assert_eq!(attributes[2].1, u128::from_str_radix(&certificate.serial_hex(), 16).unwrap().to_string());
            certificate.verify_signed_by(&certificate).unwrap();
            assert!(certificate.is_ca());
            assert_eq!(certificate.uris().len(), usize::from(ca_type == CaType::Spiffe));
            let file = world.file("ca.pem", certificate.to_pem());
            run(
                "openssl",
                &[
                    "verify",
                    "-x509_strict",
                    "-check_ss_sig",
                    "-attime",
                    &now().as_second().to_string(),
                    "-CAfile",
                    &file,
                    &file,
                ],
            );
        }
        assert!(matches!(stored_keys(&ca.clone().without_secrets()), Ok(keys) if keys.is_empty()));
    }
}

#[tokio::test]
async fn openssl_accepts_the_certificates_of_every_suite_and_key() {
    let world = World::new();
    for suite in SUITES {
        let ca = world.authority(CaType::User, suite).await;
        let signer = tls_signer(&ca).unwrap();
        let ca_file = world.file("ca.pem", signer.certificate.to_pem());
        for algorithm in SUBJECTS {
            let template = x509::user_template(&identity(), subject_key(algorithm), now(), later(3600));
            let certificate = x509::issue(&template, &signer, &world.keys, &world.random).await.unwrap();
            let file = world.file("leaf.pem", certificate.to_pem());
            for purpose in ["sslclient", "sslserver"] {
                run(
                    "openssl",
                    &[
                        "verify",
                        "-x509_strict",
                        "-purpose",
                        purpose,
                        "-attime",
                        &later(60).as_second().to_string(),
                        "-CAfile",
                        &ca_file,
                        &file,
                    ],
                );
            }
            let (_, late) = try_run(
                "openssl",
                &["verify", "-attime", &later(3700).as_second().to_string(), "-CAfile", &ca_file, &file],
            );
            assert!(!late, "expired");
            assert_eq!(Identity::from_subject(certificate.subject()).unwrap().username, "bot-ünï");
            assert_eq!(certificate.not_before(), now().checked_sub(crate::BACKDATING).unwrap());
        }
    }
    let file = world.path("leaf.pem");
    let text = run(
        "openssl",
        &["x509", "-noout", "-text", "-nameopt", "multiline,utf8,-esc_msb", "-in", file.to_str().unwrap()],
    );
    for part in [
        "bot-ünï",
        "CA:FALSE",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "2026",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let one_line = run("openssl", &["x509", "-noout", "-subject", "-in", file.to_str().unwrap()]);
    // One RDN for both roles, sorted by encoding: the shorter value first.
    assert!(one_line.contains("O = access + O = writer") || one_line.contains("O=access + O=writer"), "{one_line}");
}

#[tokio::test]
async fn a_server_certificate_answers_to_its_names() {
    let world = World::new();
    let ca = world.authority(CaType::Host, Suite::BalancedV1).await;
    let signer = tls_signer(&ca).unwrap();
    let names = AlternativeNames::from_hosts([
        "teleport.cluster.local",
        "*.teleport.cluster.local",
        "10.0.0.1",
        "::1",
        "10.0.0.1",
    ]);
    assert_eq!((names.dns.len(), names.ip.len()), (2, 2));
    let host = Identity {
        username: format!("uuid.{CLUSTER}"),
        roles: vec!["Auth".into()],
        teleport_cluster: CLUSTER.into(),
        ..Identity::default()
    };
    let template = x509::host_template(&host, subject_key(Algorithm::EcdsaP256), names, now(), later(3600));
    let certificate = x509::issue(&template, &signer, &world.keys, &world.random).await.unwrap();
    let (ca_file, file) =
        (world.file("ca.pem", signer.certificate.to_pem()), world.file("leaf.pem", certificate.to_pem()));
    let time = later(1).as_second().to_string();
    let verify = |option: &str, value: &str| {
        try_run("openssl", &["verify", "-x509_strict", "-attime", &time, option, value, "-CAfile", &ca_file, &file]).1
    };
    assert!(
        verify("-verify_hostname", "teleport.cluster.local") && verify("-verify_hostname", "ab.teleport.cluster.local")
    );
    assert!(verify("-verify_ip", "10.0.0.1") && verify("-verify_ip", "::1"));
    assert!(!verify("-verify_hostname", "elsewhere.example") && !verify("-verify_ip", "10.0.0.2"));
}

#[tokio::test]
async fn an_svid_without_subject_has_a_critical_name_and_no_needless_usage() {
    let world = World::new();
    let ca = world.authority(CaType::Spiffe, Suite::BalancedV1).await;
    let template = Template {
        subject: Vec::new(),
        public_key: subject_key(Algorithm::EcdsaP256),
        not_before: crate::not_before(now()),
        not_after: later(600),
        names: AlternativeNames { uris: vec![format!("spiffe://{CLUSTER}/ns/a")], ..AlternativeNames::default() },
        usage: Usage::Svid,
    };
    let certificate = x509::issue(&template, &tls_signer(&ca).unwrap(), &world.keys, &world.random).await.unwrap();
    assert!(certificate.is_critical("2.5.29.17"));
    assert_eq!(certificate.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE));
    assert_eq!(certificate.uris(), template.names.uris);
}

#[tokio::test]
async fn what_a_ca_must_not_sign_is_refused() {
    let world = World::new();
    let ca = world.authority(CaType::User, Suite::BalancedV1).await;
    let signer = tls_signer(&ca).unwrap();
    let good = x509::user_template(&identity(), subject_key(Algorithm::EcdsaP256), now(), later(60));
    let dns = |name: &str| AlternativeNames { dns: vec![name.into()], ..AlternativeNames::default() };
    let uri = |uri: &str| AlternativeNames { uris: vec![uri.into()], ..AlternativeNames::default() };
    let bad = [
        Template { not_after: good.not_before, ..good.clone() },
        Template { not_after: later(20 * 365 * 24 * 3600), ..good.clone() },
        Template { public_key: signer.key.public.clone(), ..good.clone() },
        Template { subject: vec![], ..good.clone() },
        Template { subject: vec![("1.x".into(), "v".into())], ..good.clone() },
        Template { subject: vec![("2.5.4.3".into(), "v".repeat(20_000))], ..good.clone() },
        Template { names: dns("a b"), ..good.clone() },
        Template { names: dns("a..b"), ..good.clone() },
        Template { names: dns("a\0b"), ..good.clone() },
        Template { names: dns("ü.example"), ..good.clone() },
        Template { names: uri("spiffe://td/ü"), ..good.clone() },
    ];
    for (index, template) in bad.iter().enumerate() {
        let outcome = x509::issue(template, &signer, &world.keys, &world.random).await;
        assert!(matches!(outcome, Err(Error::Refused { .. })), "{index}: {outcome:?}");
    }
    let ssh_ca = ssh_signer(&ca).unwrap();
    let good = ssh::user_template(&identity(), subject_key(Algorithm::Ed25519), now(), later(60), &world.random);
    let twice = vec![("a".to_owned(), String::new()), ("a".to_owned(), "x".to_owned())];
    let bad = [
        ssh::Template { principals: vec![], ..good.clone() },
        ssh::Template { principals: vec![String::new()], ..good.clone() },
        ssh::Template { principals: vec!["p".into(); 257], ..good.clone() },
        ssh::Template { valid_before: good.valid_after, ..good.clone() },
        ssh::Template { public_key: ssh_ca.public.clone(), ..good.clone() },
        ssh::Template { extensions: twice, ..good.clone() },
    ];
    for (index, template) in bad.iter().enumerate() {
        let outcome = ssh::issue(template, &ssh_ca, &world.keys, &world.random).await;
        assert!(matches!(outcome, Err(Error::Refused { .. })), "{index}: {outcome:?}");
    }
}

#[tokio::test]
async fn ssh_keygen_reads_our_certificates_and_a_revocation_list_stops_them() {
    let world = World::new();
    for (suite, signed_with) in
        [(Suite::Legacy, "rsa-sha2-512"), (Suite::BalancedV1, "ssh-ed25519"), (Suite::FipsV1, "ecdsa-sha2-nistp256")]
    {
        let ca = world.authority(CaType::User, suite).await;
        let signer = ssh_signer(&ca).unwrap();
        let mut certificates = Vec::new();
        for algorithm in SUBJECTS {
            let template = ssh::user_template(&identity(), subject_key(algorithm), now(), later(3600), &world.random);
            let certificate = ssh::issue(&template, &signer, &world.keys, &world.random).await.unwrap();
            certificate.verify().unwrap();
            let file = world.file("key-cert.pub", certificate.to_line());
            let text = run("ssh-keygen", &["-L", "-f", &file]);
            for part in [
                "user certificate",
                "Key ID: \"bot-",
                "root",
                "alice",
                "-teleport-internal-join",
                "permit-pty",
                "teleport-roles",
                &format!("using {signed_with}"),
                &format!("Serial: {}", certificate.serial()),
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
            certificates.push(certificate);
        }
        let authority = signer.public.clone();
        let cases = [
            SshRevocation::Serial { authority: authority.clone(), serial: certificates[0].serial() },
            SshRevocation::KeyId { authority: authority.clone(), key_id: identity().username },
            SshRevocation::Key(certificates[0].public_key().clone()),
            SshRevocation::Key(authority.clone()),
        ];
        for (index, revocation) in cases.into_iter().enumerate() {
            let list = KeyRevocationList {
                version: 7,
                generated: now(),
                comment: "test".into(),
                revocations: vec![revocation],
            };
            let krl = world.file("krl", list.to_bytes().unwrap());
            let revoked = |certificate: &crypto::ssh::Certificate| {
                let file = world.file("key-cert.pub", certificate.to_line());
                let (text, accepted) = try_run("ssh-keygen", &["-Q", "-f", &krl, &file]);
                assert!(
                    text.contains("REVOKED") != accepted && text.contains(if accepted { "ok" } else { "REVOKED" }),
                    "{text}"
                );
                !accepted
            };
            assert!(revoked(&certificates[0]), "{index}");
            assert_eq!(revoked(&certificates[1]), index == 1 || index == 3, "{index}");
        }
    }
    let zero = SshRevocation::Serial { authority: subject_key(Algorithm::Ed25519), serial: 0 };
    let list = KeyRevocationList { version: 1, generated: now(), comment: String::new(), revocations: vec![zero] };
    assert!(list.to_bytes().is_err());
}

#[tokio::test]
async fn a_host_certificate_names_the_host() {
    let world = World::new();
    let ca = world.authority(CaType::Host, Suite::BalancedV1).await;
    let host = Identity {
        username: format!("5c1e.{CLUSTER}"),
        roles: vec!["Proxy".into()],
        teleport_cluster: CLUSTER.into(),
        ..Identity::default()
    };
    let template = ssh::host_template(
        &host,
        "node",
        &["proxy.example".to_owned()],
        subject_key(Algorithm::Ed25519),
        now(),
        later(60),
    );
    let certificate = ssh::issue(&template, &ssh_signer(&ca).unwrap(), &world.keys, &world.random).await.unwrap();
    assert_eq!(certificate.cert_type(), CertificateType::Host);
    for name in [
        &format!("5c1e.{CLUSTER}"),
        "5c1e",
        &format!("node.{CLUSTER}"),
        "node",
        "localhost",
        "127.0.0.1",
        "::1",
        "proxy.example",
    ] {
        assert!(
            certificate.principals().iter().any(|principal| principal == name),
            "{name} in {:?}",
            certificate.principals()
        );
    }
    assert_eq!(certificate.extension("x-teleport-role"), Some("Proxy"));
}

#[tokio::test]
async fn openssl_reads_our_revocation_list_and_refuses_what_is_on_it() {
    let world = World::new();
    let ca = world.authority(CaType::Spiffe, Suite::BalancedV1).await;
    let signer = tls_signer(&ca).unwrap();
    let ca_file = world.file("ca.pem", signer.certificate.to_pem());
    let mut files = Vec::new();
    let mut serials = Vec::new();
    for name in ["a.pem", "b.pem"] {
        let template = x509::user_template(&identity(), subject_key(Algorithm::EcdsaP256), now(), later(3600));
        let certificate = x509::issue(&template, &signer, &world.keys, &world.random).await.unwrap();
        files.push(world.file(name, certificate.to_pem()));
        serials.push(certificate.serial().to_vec());
    }
    let entry = |serial: &Vec<u8>| Revoked { serial: serial.clone(), since: now(), reason: Reason::KeyCompromise };
    let crl = x509_crl(&[entry(&serials[0]), entry(&serials[0])], now(), Some(later(600)), &signer, &world.keys)
        .await
        .unwrap();
    let crl_file = world.file("crl.pem", crypto::key::encode_pem("X509 CRL", &crl));
    let text = run("openssl", &["crl", "-noout", "-text", "-verify", "-CAfile", &ca_file, "-in", &crl_file]);
    for part in [
        "verify OK",
        "Key Compromise",
        "X509v3 CRL Number",
        &now().as_second().to_string(),
        "Next Update: Mar  1 12:10:00 2026",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let time = later(60).as_second().to_string();
    let accepted = |file: &str| {
        try_run(
            "openssl",
            &["verify", "-crl_check", "-attime", &time, "-CRLfile", &crl_file, "-CAfile", &ca_file, file],
        )
        .1
    };
    assert!(!accepted(&files[0]) && accepted(&files[1]));
    let empty = x509_crl(&[], now(), None, &signer, &world.keys).await.unwrap();
    let file = world.file("empty.pem", crypto::key::encode_pem("X509 CRL", &empty));
    assert!(run("openssl", &["crl", "-noout", "-text", "-in", &file]).contains("No Revoked Certificates"));
}

#[tokio::test]
async fn a_restored_key_keeps_its_place() {
    let world = World::new();
    let key = KeyPair::generate(Algorithm::Ed25519).unwrap();
    let ca_type = CaType::User;
    let stored = world.keys.import(&key, keystore::KeyUse::Authority(ca_type, KeyKind::Ssh)).await.unwrap();
    let mut ca = world.authority(CaType::User, Suite::BalancedV1).await;
    ca.spec.active_keys.ssh.clear();
    authority::add_key(&mut ca.spec.active_keys, ca_type, CLUSTER, &stored, &world.keys, now(), &world.random)
        .await
        .unwrap();
    assert_eq!(ssh_signer(&ca).unwrap().public, *key.public());
}
