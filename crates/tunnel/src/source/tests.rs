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

const CLUSTER: &str = "example";

fn statement() -> Statement<'static> {
    Statement {
        source: "192.0.2.1:1".parse().unwrap(),
        destination: "192.0.2.2:2".parse().unwrap(),
        counted: "192.0.2.1".parse().unwrap(),
        cluster: CLUSTER,
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
    let good = statement().sign(now, &certificate, &key).unwrap();
    let authorities = [authority.clone()];
    let verified = |header: &Header, now| {
        Statement::verify(header, CLUSTER, &authorities, now).map(|(said, by)| (said, by.der().to_vec()))
    };
    assert_eq!(verified(&good, now), Ok((statement(), certificate.der().to_vec())));
    assert!(verified(&good, now + LEEWAY).is_ok());

    let second = Duration::from_secs(1);
    assert_eq!(verified(&good, now + LEEWAY + second), Err(Error::NotNow));
    assert_eq!(verified(&good, now - LEEWAY - second), Err(Error::NotNow));
    assert_eq!(Statement::verify(&good, CLUSTER, &[], now).err(), Some(Error::Untrusted));
    assert_eq!(Statement::verify(&good, "elsewhere", &authorities, now).err(), Some(Error::Forged));
    assert_eq!(verified(&Header { source: "192.0.2.9:1".parse().unwrap(), ..good.clone() }, now), Err(Error::Forged));
    let elsewhere = Header { destination: "192.0.2.9:1".parse().unwrap(), ..good.clone() };
    assert_eq!(verified(&elsewhere, now), Err(Error::Forged));
    assert_eq!(verified(&Header { tlvs: Vec::new(), ..good.clone() }, now), Err(Error::Missing));

    let late = certificate.not_after() + second;
    let stale = statement().sign(late, &certificate, &key).unwrap();
    assert_eq!(verified(&stale, late), Err(Error::Untrusted));
    let thief = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    assert_eq!(verified(&statement().sign(now, &certificate, &thief).unwrap(), now), Err(Error::Forged));
    let by_the_authority = statement().sign(now, &authority, &key).unwrap();
    assert_eq!(verified(&by_the_authority, now), Err(Error::Untrusted));
    for cut in 0..good.tlvs[0].value.len() {
        let mut header = good.clone();
        header.tlvs[0].value.truncate(cut);
        assert!(verified(&header, now).is_err(), "cut at {cut}");
    }
}

#[tokio::test]
async fn whom_limits_count_is_signed_too() {
    let World { authority, certificate, key, now } = world().await;
    let authorities = [authority];
    let verified = |header: &Header| Statement::verify(header, CLUSTER, &authorities, now).map(|(said, _)| said);
    for counted in ["203.0.113.5", "2001:db8::5"] {
        let said = Statement { counted: counted.parse().unwrap(), ..statement() };
        let header = said.sign(now, &certificate, &key).unwrap();
        assert_eq!(verified(&header), Ok(said));
        let mut without = header.clone();
        without.tlvs.retain(|tlv| tlv.kind != COUNTED);
        assert_eq!(verified(&without), Err(Error::Forged), "the client's own address counts again");
        let mut other = header.clone();
        *other.tlvs[1].value.last_mut().unwrap() ^= 1;
        assert_eq!(verified(&other), Err(Error::Forged));
        other.tlvs[1].value.pop();
        assert_eq!(verified(&other), Err(Error::Malformed));
    }
    let mut added = statement().sign(now, &certificate, &key).unwrap();
    added.tlvs.push(Tlv { kind: COUNTED, value: vec![203, 0, 113, 5] });
    assert_eq!(verified(&added), Err(Error::Forged));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), split in 0_usize..200) {
        let (value, counted) = bytes.split_at(split.min(bytes.len()));
        let fields = [(TLV, value), (COUNTED, counted)];
        let tlvs = fields.map(|(kind, value)| Tlv { kind, value: value.to_vec() }).to_vec();
        let Statement { source, destination, .. } = statement();
        let header = Header { source, destination, tlvs };
        prop_assert!(Statement::verify(&header, CLUSTER, &[], Timestamp::UNIX_EPOCH).is_err());
    }
}
