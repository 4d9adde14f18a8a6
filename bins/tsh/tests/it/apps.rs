//! What a person with an identity file sees of a cluster's applications.

use std::time::Duration;

use api::{
    r#gen::{proto, teleport::users::v1::UpsertUserRequest},
    methods::{
        proto::auth_service::{GenerateUserCerts, UpsertRoleV2},
        teleport::users::v1::users_service::UpsertUser,
    },
};
use client::IdentityFile;
use clock::Clock;
use crypto::{Algorithm, KeyPair};
use domain::Resource;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Cluster, Options};

use crate::tsh_at;

/// A cluster with a proxy that is dialled by another name than its own, two applications, and Alice's identity file.
struct World {
    cluster: Cluster,
    home: TempDir,
}

fn document<T: Resource>(value: Value) -> T {
    let mut document: T = serde_json::from_value(value).unwrap();
    document.set_defaults();
    document
}

impl World {
    async fn new() -> Self {
        let services = "proxy_service: {web_listen_addr: '127.0.0.1:0', public_addr: 'proxy.example.test:3080'}\n\
                        app_service:\n  apps:\n  - {name: web, uri: 'http://127.0.0.1:1', labels: {env: dev}}\n\
                        \x20 - {name: db, uri: 'tcp://127.0.0.1:1', labels: {env: prod}, description: the accounts}\n";
        let options = Options { auth_service: services.to_owned(), ..Options::default() };
        let world = Self { cluster: Cluster::start_with(options).await, home: tempfile::tempdir().unwrap() };
        world.sign_alice().await;
        for _ in 0..100 {
            let (_, seen, _) = world.tsh(&["apps", "ls"]);
            if seen.contains("web") && seen.contains("db") {
                return world;
            }
            Clock::system().sleep(Duration::from_millis(100)).await;
        }
        panic!("the applications are not announced: {:?}", world.tsh(&["apps", "ls"]));
    }

    async fn sign_alice(&self) {
        let admin = self.cluster.admin().await;
        let role = document(json!({"kind": "role", "version": "v7", "metadata": {"name": "dev"},
            "spec": {"allow": {"app_labels": {"*": "*"}}}}));
        let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
        admin.call::<UpsertRoleV2>(request).await.unwrap();
        let user = document(json!({"kind": "user", "version": "v2", "metadata": {"name": "alice"},
            "spec": {"roles": ["dev"]}}));
        admin.call::<UpsertUser>(UpsertUserRequest { user: Some(api::convert::user::to_wire(&user)) }).await.unwrap();
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let end = Clock::system().now() + Duration::from_secs(600);
        let request = proto::UserCertsRequest {
            username: "alice".to_owned(),
            tls_public_key: key.public().to_pem().into_bytes(),
            ssh_public_key: key.public().to_authorized_key().into_bytes(),
            expires: Some(prost_types::Timestamp { seconds: end.as_second(), nanos: 0 }),
            ..proto::UserCertsRequest::default()
        };
        let certs = admin.call::<GenerateUserCerts>(request).await.unwrap();
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let file = IdentityFile {
            key: key.to_pem().unwrap(),
            ssh_certificate: text(&certs.ssh).trim().to_owned(),
            tls_certificate: text(&certs.tls),
            ssh_authorities: Vec::new(),
            tls_authorities: certs.tlsca_certs.iter().map(text).collect(),
        };
        std::fs::write(self.home.path().join("alice.pem"), file.render().expose()).unwrap();
    }

    fn tsh(&self, arguments: &[&str]) -> (i32, String, String) {
        let home = self.home.path().to_str().unwrap();
        let (proxy, file) = (self.cluster.server().proxy_addr().unwrap(), format!("{home}/alice.pem"));
        let start = [format!("--proxy={proxy}"), format!("--identity={file}")];
        let words: Vec<&str> = start.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        tsh_at(home, &words)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_are_named_below_the_proxys_own_name_and_chosen_by_labels_and_words() {
    let world = World::new().await;
    let (_, list, _) = world.tsh(&["apps", "ls"]);
    assert!(list.contains("web.proxy.example.test") && !list.contains("127.0.0.1"), "{list}");
    for (line, expected) in [
        (&["apps", "ls", "env=dev"][..], ["web"].as_slice()),
        (&["apps", "ls", "env=dev,team=a"], &[]),
        (&["apps", "ls", "--search=ACCOUNTS"], &["db"]),
        (&["apps", "ls", "--search=proxy.example,prod"], &["db"]),
        (&["apps", "ls", "--search=nothing"], &[]),
        (
            &["--user=alice", "--skip-version-check", "-l", "root", "apps", "ls", "--cluster=test.example"],
            &["db", "web"],
        ),
    ] {
        let (code, json, said) = world.tsh(&[line, &["--format=json"]].concat());
        assert_eq!(code, 0, "{line:?}: {said}");
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{line:?}");
    }
    for (line, code, words) in [
        (&["--user=bob", "apps", "ls"][..], 8, "the identity file is of \"alice\""),
        (&["apps", "ls", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
        (&["apps", "login", "web", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
        (&["proxy", "app", "web", "--cluster=leaf"], 7, "leaf clusters are not supported yet"),
    ] {
        let (status, _, said) = world.tsh(line);
        assert!(status == code && said.contains(words), "{line:?}: {status} {said}");
    }
    // The proxy shows a certificate of the cluster, which curl does not know.
    let (code, login, said) = world.tsh(&["apps", "login", "web"]);
    assert_eq!(code, 0, "{said}");
    for shown in [login, world.tsh(&["apps", "config", "--format=curl"]).1] {
        let (before, after) = shown.split_once("--cacert ").unwrap_or_else(|| panic!("no --cacert: {shown}"));
        let file = after.split_whitespace().next().unwrap();
        assert!(std::fs::read_to_string(file).unwrap().contains("BEGIN CERTIFICATE"), "{before}{file}");
    }
}
