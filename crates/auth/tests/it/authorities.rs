//! Authorities: everybody may know whom to trust, nobody gets a private key but by the one way.

use auth::authorities::{
    delete::delete, export_keys::export_keys, list::list, read::read, rotate::rotate, upsert::upsert,
};
use domain::{
    Kind,
    ca::CaType,
    error::Kind as ErrorKind,
    resources::{CertAuthority, cert_authority::TlsKeyPair, role::Rule},
};

use crate::harness::Cluster;

fn has_private_keys(authority: &CertAuthority) -> bool {
    authority.clone().without_secrets() != *authority
}

#[tokio::test]
async fn private_keys_never_leave_with_an_authority() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let stored = auth.store().get_in::<CertAuthority>("user", auth.cluster()).await.unwrap().unwrap();
    assert!(has_private_keys(&stored), "the test would prove nothing");
    for with_keys in [false, true] {
        assert!(!has_private_keys(&read(auth, &admin, "user", "", with_keys).await.unwrap()));
        assert!(!list(auth, &admin, "", with_keys).await.unwrap().iter().any(has_private_keys));
    }
    let alice = cluster.person("alice", vec![Rule::new([Kind::CertAuthority.as_str()], ["read", "list"])]).await;
    read(auth, &alice, "user", "", false).await.unwrap();
    assert_eq!(read(auth, &alice, "user", "", true).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(export_keys(auth, &alice, "user").await.unwrap_err().kind(), ErrorKind::Denied);
    let refused = cluster.records("tessera.cert_authority.export_keys").await;
    assert_eq!(refused.iter().map(|record| record["code"].as_str().unwrap()).collect::<Vec<_>>(), ["TSR033E"]);

    let keys = export_keys(auth, &admin, "user").await.unwrap();
    assert_eq!(keys.iter().map(|key| key.key_use).collect::<Vec<_>>(), ["ssh", "tls"]);
    for key in &keys {
        assert!(key.private.expose().contains("PRIVATE KEY"));
        crypto::KeyPair::from_pem(key.private.expose()).unwrap();
    }
    assert_eq!(cluster.records("tessera.cert_authority.export_keys").await.len(), 2);
}

#[tokio::test]
async fn types_that_older_clients_do_not_know_are_given_only_when_named() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let types: Vec<CaType> = list(auth, &admin, "", false).await.unwrap().iter().map(CertAuthority::ca_type).collect();
    assert!(types.contains(&CaType::User) && !types.contains(&CaType::AwsRa) && !types.contains(&CaType::BoundKeypair));
    assert_eq!(list(auth, &admin, "awsra", false).await.unwrap().len(), 1);
    let error = list(auth, &admin, "moon", false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message.contains("authority type is not supported"), "{error}");
}

#[tokio::test]
async fn trusted_keys_are_added_but_active_ones_never_changed() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut wanted = read(auth, &admin, "user", "", false).await.unwrap();
    let other = read(auth, &admin, "db", "", false).await.unwrap();
    let cert = other.spec.active_keys.tls[0].cert.clone();
    wanted.spec.additional_trusted_keys.tls.push(TlsKeyPair { cert: cert.clone(), ..TlsKeyPair::default() });
    let stored = upsert(auth, &admin, wanted.clone()).await.unwrap();
    assert_eq!(stored.spec.additional_trusted_keys.tls[0].cert, cert);
    assert!(!has_private_keys(&stored));
    let kept = auth.store().get_in::<CertAuthority>("user", auth.cluster()).await.unwrap().unwrap();
    assert!(has_private_keys(&kept), "the signing keys must survive");
    cluster.settle().await;
    assert!(
        auth.client_certificates()
            .unwrap()
            .iter()
            .any(|found| found.to_pem().as_bytes().trim_ascii() == cert.0.trim_ascii())
    );

    let mut forged = wanted.clone();
    forged.spec.active_keys = other.spec.active_keys.clone();
    assert_eq!(upsert(auth, &admin, forged).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(delete(auth, &admin, "user", auth.cluster()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(rotate(auth, &admin, "user").unwrap_err().kind(), ErrorKind::Unsupported);
    let alice = cluster.person("alice", vec![]).await;
    assert_eq!(upsert(auth, &alice, wanted).await.unwrap_err().kind(), ErrorKind::Denied);

    let mut foreign = other;
    foreign.metadata.name = "other.example".into();
    foreign.spec.cluster_name = "other.example".into();
    upsert(auth, &admin, foreign).await.unwrap();
    delete(auth, &admin, "db", "other.example").await.unwrap();
    assert_eq!(delete(auth, &admin, "db", "other.example").await.unwrap_err().kind(), ErrorKind::NotFound);
    let events = cluster.events().await;
    for event in ["create", "update", "delete"] {
        assert!(events.contains(&format!("tessera.cert_authority.{event}")), "{event}: {events:?}");
    }
}
