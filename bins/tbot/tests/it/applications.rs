//! Outputs for applications, and a cluster that is reached through a proxy.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{
    convert::Wire,
    r#gen::proto,
    methods::proto::auth_service::{UpsertApplicationServer, UpsertRoleV2},
};
use ca::x509::AlternativeNames;
use clock::Clock;
use crypto::{
    Algorithm, KeyPair, Random,
    tls::{self, CertificateChain, ClientAuth, ServerCertificate},
    x509::Certificate,
};
use domain::{ca::CaType, identity::Identity, resources::AppServer, suite::Suite};
use keystore::{SealingKey, SoftwareKeyStore};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{Running, World, document, tbot, wait_until};

impl World {
    /// The bot's role `reader` reaches applications.
    async fn open_applications(&self) {
        let role = document(json!({"kind": "role", "version": "v5", "metadata": {"name": "reader"},
            "spec": {"allow": {"app_labels": {"*": "*"}}}}));
        let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
        self.cluster.admin().await.call::<UpsertRoleV2>(request).await.unwrap();
    }

    /// As an agent would.
    async fn announce(&self, name: &str) {
        let server: AppServer = document(json!({"kind": "app_server", "version": "v3", "metadata": {"name": name},
            "spec": {"version": "18.0.0", "hostname": "h", "host_id": "4f3c2a51-9f0c-4d2e-8a8e-0f6d2c1b0a99",
                "app": {"kind": "app", "version": "v3", "metadata": {"name": name},
                    "spec": {"uri": "http://127.0.0.1:1", "public_addr": format!("{name}.proxy.example")}}}}));
        let request = proto::UpsertApplicationServerRequest { server: Some(server.to_wire()) };
        self.cluster.admin().await.call::<UpsertApplicationServer>(request).await.unwrap();
    }

    /// How many were made so far.
    async fn certificates(&self) -> usize {
        let page = self.cluster.server().auth().store().backend().journal_read(None, 1000).await.unwrap();
        let events = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
        events.filter(|event| event["event"] == "cert.create").count()
    }

    fn output(&self, directory: &str, more: &str) -> String {
        let path = self.path(directory);
        format!(
            "outputs:\n  - {{type: application, app_name: grafana, destination: {{type: directory, path: {}}}{more}}}",
            path.display()
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_output_leads_to_the_application_and_nowhere_else() {
    let world = World::new().await;
    world.open_applications().await;
    world.announce("grafana").await;
    let token = world.token("t1").await;
    let config = world.config(&token, &world.output("app", ", specific_tls_naming: true"));
    let outcome = world.once(&config);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.err.contains("Generated identity for app {\"grafana\"}"), "{}", outcome.err);

    let at = |name: &str| world.path("app").join(name);
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    let names: BTreeSet<_> =
        std::fs::read_dir(world.path("app")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expect = [
        "identity",
        "key",
        "key.pub",
        "key-cert.pub",
        "tlscert",
        "teleport-host-ca.crt",
        "tls.crt",
        "tls.key",
        "tls.cas",
    ];
    assert_eq!(names, expect.into_iter().map(Into::into).collect());
    for (one, other) in [("tlscert", "tls.crt"), ("key", "tls.key"), ("teleport-host-ca.crt", "tls.cas")] {
        assert_eq!(read(one), read(other), "{one}");
    }
    let certificate = Certificate::from_pem(&read("tlscert")).unwrap();
    let says = Identity::from_subject(certificate.subject()).unwrap();
    let route = &says.route_to_app;
    assert_eq!((route.name.as_str(), route.public_addr.as_str()), ("grafana", "grafana.proxy.example"));
    assert!(!route.session_id.is_empty() && !outcome.err.contains(&route.session_id), "the log shows the session");

    let proxy = |name: &str| tbot(&[], &["proxy", "--destination-dir", at("").to_str().unwrap(), "app", name]);
    let other = proxy("other");
    assert_eq!(other.code, 8, "{}", other.err);
    assert!(other.err.contains("leads to \"grafana\""), "{}", other.err);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let refused = tbot(&[], &["proxy", "--destination-dir", at("").to_str().unwrap(), "app", &port, "grafana"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("in use") && refused.err.contains("give --port another one"), "{}", refused.err);
    let elsewhere = tbot(&[], &["proxy", "--destination-dir=/nonexistent", "app", "grafana"]);
    assert!(
        elsewhere.err.contains("/nonexistent/tlscert") && elsewhere.err.contains("; --destination-dir names"),
        "{}",
        elsewhere.err
    );
    // The certificate knows the name of the application's proxy, but not its port.
    let app = at("").display().to_string();
    let local = Running::of(&world, &["proxy", "--destination-dir", &app, "--", "app", "--port=0", "grafana"]);
    wait_until("a word about the address", || local.log().contains("looked for at grafana.proxy.example:443")).await;
    assert!(local.log().contains("name the proxy with --proxy-server=HOST:PORT"), "{}", local.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_comes_later_is_waited_for() {
    let world = World::new().await;
    world.open_applications().await;
    let token = world.token("t1").await;
    let running = Running::start(&world, &world.config(&token, &world.output("app", "")));
    wait_until("a word about the application", || running.log().contains("either no agent announces it now")).await;
    world.announce("grafana").await;
    wait_until("the certificate", || world.path("app").join("tlscert").exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_joins_and_renews_through_a_proxy() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let proxy = front(world.cluster.address()).await;
    let (pin, state, out) = (world.pin(), world.path("state"), world.path("out"));
    let config = world.path("proxied.yaml");
    let text = format!(
        "version: v2\nproxy_server: {proxy}\nonboarding: {{join_method: token, token: {token}, ca_pins: ['{pin}']}}\n\
         storage: {{type: directory, path: {}}}\noutputs: [{{type: identity, destination: {{type: directory, path: {}}}}}]\n",
        state.display(),
        out.display()
    );
    std::fs::write(&config, text).unwrap();
    for generation in [1, 2] {
        let outcome = world.once(&config);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        assert_eq!(crate::support::generation(&state), generation, "{}", outcome.err);
    }
    assert!(out.join("identity").exists());
    // Without a pin the proxy's certificate must be one that this system trusts.
    let line = ["start", "--oneshot", "--storage=memory://", "--token=x", "--proxy-server", &proxy];
    let outcome = tbot(&[], &line);
    assert_eq!(outcome.code, 5, "{}", outcome.err);
    assert!(outcome.err.contains(&format!("the proxy at {proxy} is not trusted")), "{}", outcome.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_renews_what_a_tunnel_shows_and_one_certificate_looks_for_all_names() {
    let world = World::new().await;
    world.open_applications().await;
    world.announce("grafana").await;
    let token = world.token("t1").await;
    let proxy = front(world.cluster.address()).await;
    let (pin, config) = (world.pin(), world.path("listen.yaml"));
    let text = format!(
        "version: v2\nproxy_server: {proxy}\nonboarding: {{join_method: token, token: {token}, ca_pins: ['{pin}']}}\n\
         storage: {{type: memory}}\nservices:\n\
         - {{type: application-tunnel, app_name: grafana, listen: 'tcp://127.0.0.1:0'}}\n\
         - {{type: application-proxy, listen: 'tcp://127.0.0.1:0'}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let running = Running::start(&world, &config);
    let issued = || running.log().matches("Generated identity for app {\"grafana\"}").count();
    wait_until("a certificate before anybody asks", || issued() == 1).await;
    running.signal("HUP");
    wait_until("another one", || issued() == 2).await;
    let before = world.certificates().await;
    let port = running.port("application-proxy").await;
    for name in ["nosuch", "nosuch", "other"] {
        let request = format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        let id = answer.split("(request ").nth(1).unwrap().split(')').next().unwrap();
        assert!(running.log().contains(id), "the answer's id is in the log");
    }
    assert_eq!(world.certificates().await, before + 1, "one looks for all names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_proxy_that_is_told_to_stop_does_not_wait_for_ever() {
    let world = World::new().await;
    world.open_applications().await;
    world.announce("grafana").await;
    let outcome = world.once(&world.config(&world.token("t1").await, &world.output("app", "")));
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (there, directory) = (silent.local_addr().unwrap().to_string(), world.path("app").display().to_string());
    let line = ["proxy", "--destination-dir", &directory, "--proxy-server", &there, "app", "--port=0", "grafana"];
    let mut local = Running::of(&world, &line);
    let port = local.port("Proxying connections to grafana on").await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let clock = Clock::system();
    let _taken = clock.timeout(Duration::from_secs(30), silent.accept()).await.expect("the request is on its way");
    let began = clock.monotonic();
    local.signal("TERM");
    wait_until("its end", || local.child.try_wait().unwrap().is_some()).await;
    let took = (clock.monotonic() - began).as_secs();
    assert!((4..15).contains(&took), "{took} s");
    assert!(local.log().contains("connections that are open have 5 s"), "{}", local.log());
}

/// Carries connections to the auth service unread, and answers `/webapi/find` itself.
async fn front(auth: std::net::SocketAddr) -> String {
    let (clock, random) = (Clock::system(), Random::system());
    let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], random.clone()).unwrap();
    let host = ca::authority::new_authority(CaType::Host, "other", Suite::BalancedV1, &store, &clock, &random);
    let signer = ca::authority::tls_signer(&host.await.unwrap()).unwrap();
    let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    let identity = Identity { username: "front".into(), ..Identity::default() };
    let end = clock.now() + Duration::from_secs(3600);
    let names = AlternativeNames::from_hosts(["127.0.0.1"]);
    let template = ca::x509::host_template(&identity, key.public().clone(), names, clock.now(), end);
    let certificate = ca::x509::issue(&template, &signer, &store, &random).await.unwrap();
    let chain = CertificateChain::new(&[certificate], &key).unwrap();
    let config = tls::server_config(ServerCertificate::new(chain), ClientAuth::None, &[b"http/1.1"], &clock).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(connection(tcp, auth, Arc::clone(&config)));
        }
    });
    address
}

async fn connection(mut tcp: TcpStream, auth: std::net::SocketAddr, config: Arc<rustls::ServerConfig>) {
    let Ok(net::hello::First::Tls(hello)) = net::hello::read(&mut tcp, Vec::new()).await else { return };
    if hello.protocols().iter().any(|name| name.starts_with(b"teleport-auth@")) {
        assert_eq!(hello.protocols()[0], tls::auth_alpn("test.example"));
        let mut there = TcpStream::connect(auth).await.unwrap();
        there.write_all(&hello.bytes).await.unwrap();
        let _ = copy_bidirectional(&mut tcp, &mut there).await;
        return;
    }
    let tcp = net::Prefixed::new(hello.bytes, tcp);
    let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(config).accept(tcp).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"GET /webapi/find HTTP/1.1\r\n"));
    let body = json!({"cluster_name": "test.example", "proxy": {"tls_routing_enabled": true}}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}
