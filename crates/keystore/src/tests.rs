use crypto::{Algorithm, Random, Scheme, SecretString};
use domain::ca::CaType;
use domain::suite::Suite;

use crate::suite::{Purpose, algorithm_for};
use crate::{Error, KeyKind, KeyStore, KeyUse, SealingKey, SoftwareKeyStore, StoredKey};

const HOST_TLS: KeyUse = KeyUse::Authority(CaType::Host, KeyKind::Tls);

fn store(keys: &[u8]) -> SoftwareKeyStore {
    let keys = keys.iter().map(|byte| SealingKey::new(&[*byte; 32])).collect();
    SoftwareKeyStore::new(keys, Random::seeded(1)).unwrap()
}

#[tokio::test]
async fn a_sealed_key_signs_after_a_restart_and_its_envelope_shows_nothing() {
    for algorithm in [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let key = store(&[1]).generate(algorithm, HOST_TLS).await.unwrap();
        let restarted = store(&[2, 1]);
        restarted.check(&key).await.unwrap();
        for _ in 0..2 {
            let signature = restarted.sign(&key, Scheme::x509(algorithm), b"text").await.unwrap();
            key.public.verify(b"text", &signature).unwrap();
        }
        let exported = restarted.export_key(&key).await.unwrap();
        let der = exported.to_pkcs8_der().unwrap();
        let envelope: crate::Envelope = serde_json::from_slice(key.sealed.expose()).unwrap();
        assert_eq!(envelope.key_id, SealingKey::new(&[1; 32]).id());
        assert!(!key.sealed.expose().windows(16).any(|window| der.expose().windows(16).any(|part| part == window)));
        assert!(!format!("{key:?} {restarted:?} {exported:?}").contains(&envelope.ciphertext));
    }
}

#[tokio::test]
async fn a_missing_sealing_key_is_named() {
    let key = store(&[1]).generate(Algorithm::Ed25519, HOST_TLS).await.unwrap();
    let error = store(&[2]).check(&key).await.unwrap_err();
    assert!(matches!(error, Error::UnknownSealingKey { .. }));
    let (missing, given) = (SealingKey::new(&[1; 32]), SealingKey::new(&[2; 32]));
    let text = error.to_string();
    assert!(text.contains(missing.id()) && text.contains(given.id()) && text.contains("host-ca-tls"), "{text}");
    assert!(matches!(SoftwareKeyStore::new(vec![], Random::seeded(1)), Err(Error::NoSealingKey)));
}

#[tokio::test]
async fn a_key_cannot_be_presented_as_another() {
    let store = store(&[1]);
    let host = store.generate(Algorithm::Ed25519, HOST_TLS).await.unwrap();
    let db = store.generate(Algorithm::Ed25519, KeyUse::Authority(CaType::Db, KeyKind::Tls)).await.unwrap();
    let wrong_use = StoredKey { key_use: db.key_use, ..host.clone() };
    let wrong_envelope = StoredKey { sealed: db.sealed.clone(), ..host.clone() };
    let mut bytes = host.sealed.expose().clone();
    let last = bytes.len() - 6;
    bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
    let changed = StoredKey { sealed: bytes.into(), ..host.clone() };
    for key in [wrong_use, wrong_envelope, changed] {
        assert!(matches!(store.sign(&key, Scheme::Ed25519, b"x").await, Err(Error::Open(..) | Error::Damaged(_))));
    }
    store.sign(&host, Scheme::Ed25519, b"x").await.unwrap();
}

#[test]
fn sealing_keys_are_read_in_both_forms() {
    let (key, text) = SealingKey::generate(&Random::seeded(3));
    assert_eq!(SealingKey::parse(&text).unwrap().id(), key.id());
    let base64 = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    assert_eq!(SealingKey::parse(&SecretString::from(base64)).unwrap().id(), SealingKey::new(&[1; 32]).id());
    for bad in ["", "AQEB", &"zz".repeat(32), &"é".repeat(32)] {
        assert!(matches!(SealingKey::parse(&SecretString::from(bad)), Err(Error::BadSealingKey)), "{bad:?}");
    }
}

#[test]
fn the_table_of_suites_is_the_documented_one() {
    use Purpose::Authority;
    let table = [
        (Authority(CaType::User, KeyKind::Ssh), "R E P P"),
        (Authority(CaType::Host, KeyKind::Ssh), "R E P P"),
        (Authority(CaType::User, KeyKind::Tls), "R P P P"),
        (Authority(CaType::Host, KeyKind::Tls), "R P P P"),
        (Authority(CaType::Db, KeyKind::Tls), "R R R R"),
        (Authority(CaType::DbClient, KeyKind::Tls), "R R R R"),
        (Authority(CaType::Openssh, KeyKind::Ssh), "R E P P"),
        (Authority(CaType::Jwt, KeyKind::Jwt), "R P P P"),
        (Authority(CaType::OidcIdp, KeyKind::Jwt), "R R R R"),
        (Authority(CaType::SamlIdp, KeyKind::Tls), "R R R R"),
        (Authority(CaType::Spiffe, KeyKind::Tls), "R P P P"),
        (Authority(CaType::Spiffe, KeyKind::Jwt), "R R R R"),
        (Authority(CaType::Okta, KeyKind::Jwt), "P P P P"),
        (Authority(CaType::AwsRa, KeyKind::Tls), "R P P P"),
        (Authority(CaType::BoundKeypair, KeyKind::Jwt), "R P P P"),
        (Purpose::UserSsh, "R E P E"),
        (Purpose::HostSsh, "R E P E"),
        (Purpose::UserTls, "R P P P"),
        (Purpose::HostIdentity, "R P P P"),
        (Purpose::DatabaseClient, "R R R R"),
        (Purpose::DatabaseServer, "R R R R"),
        (Purpose::BotIdentity, "R P P P"),
        (Purpose::Svid, "R P P P"),
        (Purpose::WindowsDesktop, "R R R R"),
        (Purpose::Ec2InstanceConnect, "E E P E"),
    ];
    for (purpose, expected) in table {
        let found = [Suite::Legacy, Suite::BalancedV1, Suite::FipsV1, Suite::HsmV1].map(|suite| {
            match algorithm_for(suite, purpose) {
                Algorithm::Rsa2048 => "R",
                Algorithm::EcdsaP256 => "P",
                Algorithm::Ed25519 => "E",
            }
        });
        assert_eq!(found.join(" "), expected, "{purpose:?}");
        assert_eq!(algorithm_for(Suite::Unspecified, purpose), algorithm_for(Suite::BalancedV1, purpose));
    }
}
