//! Auth, proxy and agent in servers of their own: how they find each other, and what a client notices of their restarts.

use std::{net::SocketAddr, path::Path, time::Duration};

use api::{
    r#gen::proto,
    methods::proto::auth_service::{CreateTokenV2, GetInventoryStatus},
};
use crypto::x509::Certificate;
use daemon::{Environment, Overrides, Server, config::Config};
use http::StatusCode;
use serde_json::json;
use testkit::Cluster;

use super::{
    app,
    kit::{CLUSTER, Kit, Line, empty, full, host, text, tls, until},
};
use crate::support::people::{self, Person, document};

const GRACE: Duration = Duration::from_secs(5);

/// A proxy and an agent beside a cluster, each a server of its own.
struct Split {
    cluster: Cluster,
    home: tempfile::TempDir,
    port: u16,
    app: SocketAddr,
}

impl Split {
    async fn new(app: SocketAddr) -> Self {
        let cluster = Cluster::start().await;
        let admin = cluster.admin().await;
        for role in ["Proxy", "App"] {
            let token = document(json!({
                "kind": "token", "version": "v2", "metadata": {"name": format!("join-{role}")},
                "spec": {"roles": [role], "join_method": "token"}
            }));
            let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
            admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await.unwrap();
        }
        // A port of its own, that is the same after a restart.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::Builder::new().prefix("tessera-test-").tempdir_in("/tmp").unwrap();
        Self { cluster, home, port, app }
    }

    /// A server that knows of the cluster nothing but the auth service, by its pin; or not even that.
    async fn run(&self, name: &str, role: &str, is_pinned: bool, sections: &str) -> Server {
        let pin = match is_pinned {
            true => self.cluster.server().auth().host_certificates().unwrap()[0].pin(),
            false => String::new(),
        };
        let text = format!(
            "version: v3
teleport:
  nodename: {name}
  data_dir: {home}/{name}
  auth_server: {auth}
  ca_pin: '{pin}'
  join_params: {{method: token, token_name: join-{role}}}
auth_service: {{enabled: no}}
{sections}",
            home = Path::display(self.home.path()),
            auth = self.cluster.address(),
        );
        let mut config = Config::from_text(&text, name).unwrap();
        Overrides { insecure: !is_pinned, ..Overrides::default() }.apply(&mut config).unwrap();
        Server::start(&config, Environment::system()).await.unwrap()
    }

    async fn proxy(&self) -> Server {
        let port = self.port;
        let section = format!(
            "proxy_service:
  enabled: yes
  web_listen_addr: 127.0.0.1:{port}
  public_addr: proxy.localhost:{port}
  tunnel_public_addr: 127.0.0.1:{port}
"
        );
        self.run("a-proxy", "Proxy", true, &section).await
    }

    async fn agent(&self) -> Server {
        let section = format!(
            "proxy_service: {{enabled: no}}
app_service:
  enabled: yes
  apps:
  - {{name: hello, uri: 'http://{}', labels: {{env: dev}}}}
  - {{name: gone, uri: 'http://127.0.0.1:1', labels: {{env: dev}}}}
",
            self.app
        );
        self.run("an-agent", "App", false, &section).await
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    async fn line(&self, app: &str, person: &Person) -> Option<Line> {
        let stream = tls(self.address(), &host(app), &person.authorities, Some(person.chain()), b"http/1.1").await;
        Some(Line::over(stream.ok()?, app).await)
    }

    async fn until_reached(&self, app: &str, person: &Person) {
        until(&format!("{app} is reached"), async || {
            let mut line = self.line(app, person).await?;
            let request = line.request("GET", "/").body(empty()).unwrap();
            let answer = line.send(request).await.ok()?;
            (answer.status() == StatusCode::OK || app == "gone" && answer.status() == StatusCode::BAD_GATEWAY)
                .then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_finds_the_proxies_and_restarts_are_survived() {
    let (address, _) = app::start().await;
    let split = Split::new(address).await;
    // The agent is there first, and knows the auth service only.
    let agent = split.agent().await;
    let proxy = split.proxy().await;
    let admin = split.cluster.admin().await;
    people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
    let mut alice = people::user(&admin, "alice", &["dev"], 600).await;
    let client = split.cluster.client(alice.credentials()).await;
    let kit = Kit { proxy: split.address(), admin, alice: alice.clone(), client, cluster: split.cluster };
    let (hello, gone) = (kit.routed("hello").await, kit.routed("gone").await);
    let split = Split { cluster: kit.cluster, ..split };
    alice.certificate = hello.certificate.clone();
    split.until_reached("hello", &hello).await;

    inventory(&kit.admin).await;
    failures(&split, &hello, &gone).await;

    // The agent goes away in the middle of a request, and comes back: the client sees neither.
    let mut slow = split.line("hello", &hello).await.unwrap();
    let slow = tokio::spawn(async move { slow.get("/slow").await });
    let mut line = split.line("hello", &hello).await.unwrap();
    assert_eq!(line.get("/").await.0, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(200)).await;
    agent.stop(GRACE).await;
    let (status, text) = slow.await.unwrap();
    assert_eq!((status, text.as_str()), (StatusCode::OK, "at last"), "an agent that stops ends what runs");
    let meanwhile = {
        let request = line.request("GET", "/while/away").body(empty()).unwrap();
        tokio::spawn(async move { line.send(request).await.map(|answer| answer.status()) })
    };
    let mut upload = split.line("hello", &hello).await.unwrap();
    let upload = {
        let request = upload.request("POST", "/count").body(full(vec![0; 1000])).unwrap();
        tokio::spawn(async move { upload.send(request).await.map(|answer| answer.status()) })
    };
    // They are with the proxy by now, which waits for an agent for four seconds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let agent = split.agent().await;
    assert_eq!(meanwhile.await.unwrap().unwrap(), StatusCode::OK, "it waited for the agent");
    assert_eq!(upload.await.unwrap().unwrap(), StatusCode::OK, "no agent had seen it: it could wait, too");

    // The proxy is restarted: the agent comes back to it by itself.
    proxy.stop(GRACE).await;
    let proxy = split.proxy().await;
    split.until_reached("hello", &hello).await;

    // Nobody comes back: the hop is named, and a person gets a page.
    agent.stop(GRACE).await;
    let mut line = split.line("hello", &hello).await.unwrap();
    let request = line.request("GET", "/").header("accept", "text/html").body(empty()).unwrap();
    let answer = line.send(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let id = answer.headers()["x-teleport-request-id"].to_str().unwrap().to_owned();
    let page = super::kit::text(answer).await;
    assert!(page.starts_with("<!doctype html>") && page.contains(&id), "{page}");
    assert!(page.contains("between the proxy and the agent") || page.contains("at the proxy"), "{page}");
    proxy.stop(GRACE).await;
    split.cluster.stop().await;
}

/// What failed, where, why, and under which id.
async fn failures(split: &Split, hello: &Person, gone: &Person) {
    split.until_reached("gone", gone).await;
    for (app, person, method, path, reason) in [
        ("gone", gone, "GET", "/", "does not accept connections"),
        ("gone", gone, "POST", "/", "does not accept connections"),
        ("hello", hello, "GET", "/die", "closed the connection without an answer"),
        ("hello", hello, "POST", "/die", "closed the connection without an answer"),
    ] {
        let mut line = split.line(app, person).await.unwrap();
        let request = line.request(method, path).body(full("x")).unwrap();
        let answer = line.send(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{method} {app}{path}");
        let id = answer.headers()["x-teleport-request-id"].to_str().unwrap().to_owned();
        let body = text(answer).await;
        for part in ["between the agent and the application", reason, &id] {
            assert!(body.contains(part), "{method} {app}{path}: {part} is missing: {body}");
        }
    }
}

/// What an administrator sees of them.
async fn inventory(admin: &client::Client) {
    let connected = until("both are in the inventory", async || {
        let request = proto::InventoryStatusRequest { connected: true };
        let found = admin.call::<GetInventoryStatus>(request).await.unwrap();
        let count = |service: &str| found.service_counts.get(service).copied().unwrap_or(0);
        (count("App") == 1 && count("Proxy") == 1).then_some(found.connected)
    })
    .await;
    for (name, service) in [("an-agent", "App"), ("a-proxy", "Proxy")] {
        let host = connected.iter().find(|hello| hello.hostname == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(host.services, [service]);
    }
    assert_eq!(CLUSTER, "test.example");
}

/// What a host keeps for a role.
fn kept(home: &Path, role: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(home.join(format!("hosts/{role}.json"))).ok()?).ok()
}

/// The certificate of a host, once it has one.
async fn certificate(home: &Path, role: &str) -> Certificate {
    until(&format!("{} has joined as {role}", home.display()), async || {
        let kept = kept(home, role)?;
        Certificate::from_pem(kept["certificates"]["tls"].as_str()?).ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_makes_nobody_a_host_that_is_there_and_keeps_no_host_out() {
    let (address, _) = app::start().await;
    let split = Split::new(address).await;
    let (home, thief) = (split.home.path().join("an-agent"), split.home.path().join("thief"));
    let agent = split.agent().await;
    let first = certificate(&home, "app").await;
    let id = std::fs::read_to_string(home.join("host_uuid")).unwrap();

    // Somebody else with the token, and the id, which everybody may know.
    std::fs::create_dir(&thief).unwrap();
    std::fs::write(thief.join("host_uuid"), &id).unwrap();
    let section = "proxy_service: {enabled: no}\napp_service: {enabled: yes}\n";
    let posing = split.run("thief", "App", true, section).await;
    until("it is told why, and what an honest machine does", async || {
        let report = format!("{:?}", posing.readiness().report());
        (report.contains("has joined already") && report.contains("remove host_uuid")).then_some(())
    })
    .await;
    assert!(kept(&thief, "app").is_none_or(|kept| kept.get("certificates").is_none()));
    posing.stop(GRACE).await;
    // With an id of its own it is as good as any other.
    std::fs::remove_dir_all(&thief).unwrap();
    let posing = split.run("thief", "App", true, section).await;
    certificate(&thief, "app").await;
    posing.stop(GRACE).await;

    // The answer to the host's own join was lost: it asks again with the same key, and is the same host.
    agent.stop(GRACE).await;
    let mut lost = kept(&home, "app").unwrap();
    let fields = lost.as_object_mut().unwrap();
    let key = fields.remove("key").unwrap();
    fields.remove("certificates");
    fields.insert("pending_key".to_owned(), key);
    std::fs::write(home.join("hosts/app.json"), lost.to_string()).unwrap();
    let agent = split.agent().await;
    let again = certificate(&home, "app").await;
    assert_eq!((again.subject(), again.spki_der()), (first.subject(), first.spki_der()));
    assert_ne!(again.serial_hex(), first.serial_hex());
    agent.stop(GRACE).await;

    // A proxy gets another public address: it joins for it at its next start, as the host that it is.
    let home = split.home.path().join("a-proxy");
    let mut before: Option<Certificate> = None;
    for name in ["one.localhost", "two.localhost"] {
        let section =
            format!("proxy_service: {{enabled: yes, web_listen_addr: '127.0.0.1:0', public_addr: '{name}:0'}}\n");
        let proxy = split.run("a-proxy", "Proxy", true, &section).await;
        until("the proxy has the name", async || {
            let now = certificate(&home, "proxy").await;
            assert!(before.as_ref().is_none_or(|before| before.subject() == now.subject()), "another host");
            let has = now.dns_names().iter().any(|known| known == name);
            has.then(|| before = Some(now))
        })
        .await;
        proxy.stop(GRACE).await;
    }
    split.cluster.stop().await;
}
