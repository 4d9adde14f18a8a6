use std::time::Duration;

use ca::x509::{AuthorityTemplate, Signer, Template, Usage, issue, self_signed};
use crypto::{Algorithm, Random};
use keystore::{KeyStore, SoftwareKeyStore};
use proptest::prelude::*;

use super::*;

struct World {
    authority: Certificate,
    certificate: Certificate,
    key: KeyPair,
    now: Timestamp,
}

fn statement() -> Statement<'static> {
    Statement {
        source: "192.0.2.1:1".parse().unwrap(),
        destination: "192.0.2.2:2".parse().unwrap(),
        cluster: "example",
    }
}

async fn world() -> World {
    let (random, now) = (Random::seeded(5), "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap());
    let store = SoftwareKeyStore::new(vec![keystore::SealingKey::generate(&random).0], random.clone()).unwrap();
    let stored = store.generate(Algorithm::EcdsaP256, keystore::KeyUse::AuditCheckpoints).await.unwrap();
    let day = Duration::from_secs(86400);
    let template = AuthorityTemplate {
        cluster: "example".into(),
        uris: Vec::new(),
        signs_documents: false,
        not_before: now - day,
        not_after: now + day,
    };
    let authority = self_signed(&template, &stored, &store, &random).await.unwrap();
    let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    let leaf = Template {
        subject: vec![("2.5.4.3".into(), "host.example".into())],
        public_key: key.public().clone(),
        not_before: now - day,
        not_after: now + day / 2,
        names: Default::default(),
        usage: Usage::Leaf,
    };
    let signer = Signer { certificate: authority.clone(), key: stored };
    let certificate = issue(&leaf, &signer, &store, &random).await.unwrap();
    World { authority, certificate, key, now }
}

#[tokio::test]
async fn the_word_of_a_proxy_is_believed_and_any_other_is_not() {
    let World { authority, certificate, key, now } = world().await;
    let value = statement().sign(now, &certificate, &key).unwrap();
    let authorities = [authority.clone()];
    assert_eq!(statement().verify(&value, &authorities, now).unwrap().der(), certificate.der());
    assert_eq!(statement().verify(&value, &authorities, now + LEEWAY).unwrap().der(), certificate.der());

    let second = Duration::from_secs(1);
    assert_eq!(statement().verify(&value, &authorities, now + LEEWAY + second), Err(Error::NotNow));
    assert_eq!(statement().verify(&value, &authorities, now - LEEWAY - second), Err(Error::NotNow));
    assert_eq!(statement().verify(&value, &[], now), Err(Error::Untrusted));
    for other in [
        Statement { source: "192.0.2.9:1".parse().unwrap(), ..statement() },
        Statement { destination: "192.0.2.9:1".parse().unwrap(), ..statement() },
        Statement { cluster: "elsewhere", ..statement() },
    ] {
        assert_eq!(other.verify(&value, &authorities, now), Err(Error::Forged));
    }
    let late = certificate.not_after() + second;
    let stale = statement().sign(late, &certificate, &key).unwrap();
    assert_eq!(statement().verify(&stale, &authorities, late), Err(Error::Untrusted));
    let thief = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    let forged = statement().sign(now, &certificate, &thief).unwrap();
    assert_eq!(statement().verify(&forged, &authorities, now), Err(Error::Forged));
    let by_the_authority = statement().sign(now, &authority, &key).unwrap();
    assert_eq!(statement().verify(&by_the_authority, &authorities, now), Err(Error::Untrusted));
    for cut in 0..value.len() {
        assert!(statement().verify(&value[..cut], &authorities, now).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(statement().verify(&bytes, &[], Timestamp::UNIX_EPOCH).is_err());
    }
}
