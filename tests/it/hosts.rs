//! A host that comes back: known by its keys, and called what its configuration says.

use std::{fs, path::Path};

use agent::{Config, Host};
use api::{r#gen::proto, methods::proto::auth_service::CreateTokenV2};
use client::{Proxies, Trust};
use clock::Clock;
use crypto::{Random, SecretString};
use domain::role::SystemRole;
use serde_json::{Value, json};
use testkit::Cluster;

use crate::support::people::document;

fn config(cluster: &Cluster, data_dir: &Path, names: &[&str]) -> Config {
    Config {
        auth_servers: vec![cluster.address().to_string()],
        entry: Vec::new(),
        trust: Trust::Authorities(cluster.server().auth().host_certificates().unwrap()),
        token: Some(SecretString::from("proxies")),
        node_name: "here".into(),
        role: SystemRole::Proxy,
        data_dir: Some(data_dir.to_owned()),
        additional_principals: Vec::new(),
        dns_names: names.iter().map(|&name| name.into()).collect(),
        issuer: None,
        out: Proxies::default(),
        clock: Clock::system(),
        random: Random::system(),
    }
}

/// What is left of an identity that has ended, or whose certificates never came: its key.
fn keep_the_key_alone(data_dir: &Path) {
    let path = data_dir.join("hosts/proxy.json");
    let state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, json!({"version": 1, "pending_key": state["key"]}).to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_known_by_its_key_whatever_else_it_asked_for_and_gets_its_new_names_at_once() {
    let cluster = Cluster::start().await;
    let token = document(json!({
        "kind": "token", "version": "v2", "metadata": {"name": "proxies"},
        "spec": {"roles": ["Proxy"], "join_method": "token"}
    }));
    let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
    let admin = cluster.admin().await;
    admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let host = Host::obtain(config(&cluster, home.path(), &["one.example"])).await.unwrap();
    // As applications come and go; more often than the cluster remembers keys.
    for number in 0..10 {
        let name = format!("app{number}.one.example");
        let (certificate, _) = host.certificate_for(vec![name.clone()]).await.unwrap();
        assert!(certificate.dns_names().contains(&name));
    }
    let before = host.identity();
    keep_the_key_alone(home.path());
    let host = Host::obtain(config(&cluster, home.path(), &["one.example", "two.example"])).await.unwrap();
    let now = host.identity();
    assert_eq!(now.host_id(), before.host_id());
    for name in ["one.example", "two.example"] {
        assert!(now.tls().dns_names().iter().any(|known| known == name), "{:?}", now.tls().dns_names());
    }
    cluster.stop().await;
}
