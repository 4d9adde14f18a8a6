//! The public port as browsers and programs meet it: sessions by cookie, joining over HTTP, certificates that change.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use api::{
    r#gen::{
        proto::{CreateAppSessionRequest, GetAppSessionRequest},
        tessera::v1::StatusRequest,
    },
    methods::{
        proto::auth_service::{CreateAppSession, GetAppSession},
        tessera::v1::cluster_service::Status,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clock::Clock;
use crypto::{
    tls::{ClientOptions, Trust, client_config},
    x509::Certificate,
};
use domain::error::Kind;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use testkit::{Cluster, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::client::TlsStream;

use crate::{applications::kit::until, support::people};

const APP: &str = "hello.proxy.localhost";

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 8192];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(&[start.as_bytes(), &head[..length]].concat()).await;
            });
        }
    });
    address
}

pub(crate) async fn cluster(proxy: &str) -> Cluster {
    let app = echo().await;
    let auth_service = format!(
        "proxy_service:
  web_listen_addr: 127.0.0.1:0
  public_addr: proxy.localhost:0
{proxy}app_service:
  apps:
  - {{name: hello, uri: 'http://{app}', labels: {{env: dev}}}}
"
    );
    let cluster = Cluster::start_with(Options { auth_service, ..Options::default() }).await;
    let ready = Clock::system().timeout(Duration::from_secs(20), cluster.server().readiness().ready()).await;
    assert!(ready.is_ok(), "{:?}", cluster.server().readiness().report());
    cluster
}

async fn connect(proxy: SocketAddr, host: &str, trust: Trust) -> TlsStream<TcpStream> {
    let options = ClientOptions { trust, certificate: None, alpn: vec![b"http/1.1".to_vec()] };
    let config = client_config(options, &Clock::system()).unwrap();
    let stream = TcpStream::connect(proxy).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap()
}

/// One request on a connection that stays; status line, headers and body.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
        }
    }
}

fn leaf(stream: &TlsStream<TcpStream>) -> String {
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    Certificate::from_der(&shown[0]).unwrap().fingerprint()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_browser_lives_until_it_logs_out() {
    let cluster = cluster("").await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let trust = || Trust::Roots(cluster.server().auth().host_certificates().unwrap());
    let admin = cluster.admin().await;
    people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
    let alice = people::user(&admin, "alice", &["dev"], 600).await;
    let client = cluster.client(alice.credentials()).await;
    let session = until("the application is announced", async || {
        let request = CreateAppSessionRequest { app_name: "hello".into(), ..Default::default() };
        client.call::<CreateAppSession>(request).await.ok()
    });
    let session = session.await.session.unwrap();
    let (id, bearer) = (session.metadata.unwrap().name, session.spec.unwrap().bearer_token);
    let cookies = format!("__Host-grv_app_session={id}; __Host-grv_app_session_subject={bearer}");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {APP}\r\nCookie: {cookies}\r\n\r\n");

    let answer = until("the application is reached", async || {
        let answer = ask(&mut connect(proxy, APP, trust()).await, &get("/path")).await;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    })
    .await;
    assert!(answer.to_lowercase().contains("teleport-jwt-assertion: "), "the agent has let it in: {answer}");
    assert!(!answer.contains(&id) && !answer.contains(&bearer), "the cookies stay with the proxy: {answer}");

    let admin_sees = || async {
        admin.call::<GetAppSession>(GetAppSessionRequest { session_id: id.clone() }).await.map_err(|error| error.kind)
    };
    assert!(admin_sees().await.is_ok());
    let mut stream = connect(proxy, APP, trust()).await;
    let answer = ask(&mut stream, &get("/teleport-logout")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("__Host-grv_app_session=;"), "{answer}");
    assert_eq!(admin_sees().await.unwrap_err(), Kind::NotFound);
    let answer = ask(&mut stream, &get("/path")).await;
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");

    let status = admin.call::<Status>(StatusRequest {}).await.unwrap();
    let own = cluster.server().auth().host_certificates().unwrap();
    let shown = leaf(&connect(proxy, "proxy.localhost", Trust::Roots(own)).await);
    let said: Vec<String> = status.reasons.into_iter().filter(|it| it.component == "proxy").map(|it| it.text).collect();
    let is_told =
        |text: &String| text.contains(&shown) && text.contains("proxy.localhost") && text.contains("do not trust");
    assert!(said.iter().any(is_told), "tctl status tells of the certificate {shown}: {said:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_joins_over_http_and_the_log_knows_where_it_was() {
    let cluster = cluster("").await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let trust = Trust::Roots(cluster.server().auth().host_certificates().unwrap());
    let admin = cluster.admin().await;
    people::bot(&admin, "joiner", &["access"]).await;
    people::bot_token(&admin, "joiner", "joiner").await;
    let asked = people::join_request("joiner", &people::key());
    let body = json!({
        "hostID": "", "node_name": "", "role": asked.role, "token": asked.token,
        "additional_principals": null, "dns_names": null,
        "public_tls_key": STANDARD.encode(&asked.public_tls_key),
        "public_ssh_key": STANDARD.encode(&asked.public_ssh_key),
        "remote_addr": "6.6.6.6:1", "ec2_id": null, "id_token": "", "expires": null,
    })
    .to_string();
    let post = |body: &str| {
        let length = body.len();
        format!(
            "POST /v1/webapi/host/credentials HTTP/1.1\r\nHost: proxy.localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let mut stream = connect(proxy, "proxy.localhost", trust).await;
    let near = stream.get_ref().0.local_addr().unwrap();
    let answer = ask(&mut stream, &post(&body)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let certs: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let tls = String::from_utf8(STANDARD.decode(certs["tls"].as_str().unwrap()).unwrap()).unwrap();
    assert!(Certificate::from_pem(&tls).unwrap().common_name().unwrap().starts_with("bot-joiner"));
    assert!(certs["tls_ca_certs"][0].is_string() && certs["ssh_ca_certs"][0].is_string() && certs["ssh"].is_string());

    let answer = ask(&mut stream, &post(&body.replace("\"joiner\"", "\"guessed-token\""))).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let refused: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert!(refused["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{refused}");

    let backend = cluster.server().auth().store().backend();
    let page = backend.journal_read(None, 10_000).await.unwrap();
    let events = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
    let joined: Vec<Value> = events.filter(|event| event["event"] == "bot.join").collect();
    assert!(joined.iter().any(|event| event["addr.remote"] == near.to_string()), "{near}: {joined:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_stands_in_costs_the_proxy_none_of_the_keys_that_it_is_known_by() {
    let cluster = cluster("").await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let auth = cluster.server().auth();
    let stream = connect(proxy, APP, Trust::Roots(auth.host_certificates().unwrap())).await;
    let shown = Certificate::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap();
    assert!(shown.dns_names().iter().any(|name| name == "*.proxy.localhost"), "it stands in: {:?}", shown.dns_names());
    let host = auth.host_name().split('.').next().unwrap().to_owned();
    let known = auth.store().record(&storage::Key::new("tessera_host", host)).await.unwrap().unwrap();
    let known: Value = serde_json::from_slice(&known.value).unwrap();
    assert_eq!(known["roles"]["Proxy"]["keys"].as_array().map(Vec::len), Some(1), "{known}");
    cluster.stop().await;
}

fn write_pair(directory: &Path, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    Certificate::from_der(made.cert.der()).unwrap().fingerprint()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_public_certificates_are_for_new_connections_and_broken_ones_for_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["proxy.localhost", "*.proxy.localhost"];
    let first = write_pair(directory.path(), &names);
    let at = directory.path().display();
    let cluster = cluster(&format!(
        "  https_keypairs: [{{key_file: {at}/key.pem, cert_file: {at}/cert.pem}}]\n  https_keypairs_reload_interval: 200ms\n"
    ))
    .await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let shown = || async { leaf(&connect(proxy, "proxy.localhost", Trust::DangerAnyServer).await) };
    let until = async |expect: &str| {
        for _ in 0..100 {
            if shown().await == expect {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{expect} is never shown");
    };
    let mut old = connect(proxy, "proxy.localhost", Trust::DangerAnyServer).await;
    let get = "GET /readyz HTTP/1.1\r\nHost: proxy.localhost\r\n\r\n";
    assert!(ask(&mut old, get).await.starts_with("HTTP/1.1 200"));
    assert_eq!(leaf(&old), first);

    let second = write_pair(directory.path(), &names);
    until(&second).await;
    assert!(ask(&mut old, get).await.starts_with("HTTP/1.1 200"), "the connection before lives on");

    fs::write(directory.path().join("key.pem"), "no key").unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(shown().await, second, "a broken file changes nothing");
    let third = write_pair(directory.path(), &names);
    until(&third).await;
    assert!(ask(&mut old, get).await.starts_with("HTTP/1.1 200"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_its_own_for_ssh_is_open_and_told() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cluster = cluster(&format!("  listen_addr: {port}\n")).await;
    let mut ssh = TcpStream::connect(port).await.unwrap();
    ssh.write_all(b"SSH-2.0-test\r\n").await.unwrap();
    let mut banner = [0; 8];
    ssh.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    let trust = Trust::Roots(cluster.server().auth().host_certificates().unwrap());
    let mut web = connect(cluster.server().proxy_addr().unwrap(), "proxy.localhost", trust).await;
    let answer = ask(&mut web, "GET /webapi/ping HTTP/1.1\r\nHost: proxy.localhost\r\n\r\n").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let found: Value = serde_json::from_str(body).unwrap();
    assert_eq!(found["proxy"]["ssh"]["listen_addr"], port.to_string());
    cluster.stop().await;
}
