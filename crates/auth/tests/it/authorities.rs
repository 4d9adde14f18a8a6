//! Authorities: everybody may know whom to trust, nobody gets a private key but by the one way.

use auth::authorities::{
    delete::delete,
    export_keys::export_keys,
    host_certificate::{HostCertificate, host_certificate},
    list::list,
    read::read,
    rotate::rotate,
    upsert::upsert,
};
use domain::{
    Kind,
    ca::CaType,
    error::Kind as ErrorKind,
    resources::{CertAuthority, cert_authority::TlsKeyPair, role::Rule},
    role::SystemRole,
};

use crate::harness::{Cluster, Machine};

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

    // A rule for authorities must not be a key to everything.
    let keeper = cluster.person("keeper", vec![Rule::new(["cert_authority"], ["*"])]).await;
    let mut more = read(auth, &keeper, "host", "", false).await.unwrap();
    upsert(auth, &keeper, more.clone()).await.unwrap();
    more.spec.additional_trusted_keys.tls.push(TlsKeyPair { cert, ..TlsKeyPair::default() });
    assert_eq!(upsert(auth, &keeper, more).await.unwrap_err().kind(), ErrorKind::Denied);

    let empty = CertAuthority::empty(CaType::User, auth.cluster());
    assert_eq!(
        upsert(auth, &admin, empty).await.unwrap_err().kind(),
        ErrorKind::Invalid,
        "would withdraw all further keys"
    );

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

#[tokio::test]
async fn a_rule_says_who_gets_host_certificates_and_for_which_names() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    let mut within = Rule::new(["host_cert"], ["create"]);
    within.condition = r#"all_end_with(host_cert.principals, ".ssh.example") && equals(host_cert.role, "Node")"#.into();
    let limited = cluster.person("limited", vec![within]).await;
    let free = cluster.person("free", vec![Rule::new(["host_cert"], ["create"])]).await;
    let other = cluster.person("other", vec![Rule::new(["node", "cert_authority"], ["*"])]).await;
    let request = |node_name: &str, principals: &[&str], role| HostCertificate {
        key: Machine::new().ssh.public().clone(),
        host_id: String::new(),
        node_name: node_name.into(),
        principals: principals.iter().map(|name| (*name).to_owned()).collect(),
        role,
        ttl: Default::default(),
    };
    for (caller, node, principals, role, is_allowed) in [
        (&limited, "", vec!["a.ssh.example", "b.ssh.example"], SystemRole::Node, true),
        (&limited, "", vec!["a.ssh.example", "b.example"], SystemRole::Node, false),
        (&limited, "", vec!["a.ssh.example"], SystemRole::Proxy, false),
        // The name of the host is a name in the certificate, too.
        (&limited, "bank.example", vec!["a.ssh.example"], SystemRole::Node, false),
        (&limited, "bank.example", vec![], SystemRole::Node, false),
        (&free, "bank.example", vec!["b.example"], SystemRole::Node, true),
        (&other, "", vec!["a.ssh.example"], SystemRole::Node, false),
    ] {
        let what = format!("{} {node} {principals:?} {role:?}", caller.name());
        match host_certificate(auth, caller, request(node, &principals, role)).await {
            Ok(made) => assert!(
                is_allowed && principals.iter().all(|name| made.principals().contains(&(*name).into())),
                "{what}"
            ),
            Err(error) => assert!(!is_allowed && error.kind() == ErrorKind::Denied, "{what}: {error}"),
        }
    }
}
