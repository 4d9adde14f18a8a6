//! A request to an application: one process is auth, proxy and agent; somebody with a certificate for the application
//! reaches it through the public port.

use std::{net::SocketAddr, time::Duration};

use api::{
    r#gen::proto::{RouteToApp, UserCertsRequest},
    methods::proto::auth_service::GenerateUserCerts,
};
use client::Client;
use clock::Clock;
use crypto::{
    KeyPair,
    tls::{ClientOptions, Trust, client_config},
    x509::Certificate,
};
use domain::identity::Identity;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use testkit::{Cluster, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    applications::kit::until,
    support::people::{self, Person},
};

/// Answers each request with its head.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).await.is_err() {
                        return;
                    }
                    head.push(byte[0]);
                }
                let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", head.len());
                let _ = stream.write_all(&[start.as_bytes(), &head].concat()).await;
            });
        }
    });
    address
}

async fn cluster(app: SocketAddr) -> Cluster {
    let auth_service = format!(
        "proxy_service:
  web_listen_addr: 127.0.0.1:0
  public_addr: proxy.localhost:0
app_service:
  apps:
  - {{name: hello, uri: 'http://{app}', labels: {{env: dev}}}}
"
    );
    let cluster = Cluster::start_with(Options { auth_service, ..Options::default() }).await;
    let ready = Clock::system().timeout(Duration::from_secs(20), cluster.server().readiness().ready()).await;
    assert!(ready.is_ok(), "{:?}", cluster.server().readiness().report());
    cluster
}

/// A certificate that leads to the application.
async fn routed(person: &Client, name: &str, cluster: &str) -> Person {
    let key = people::key();
    let ask = async || person.call::<GenerateUserCerts>(request(&key, name, cluster)).await.ok();
    Person::from_certs(key.clone(), &until("the application is announced", ask).await)
}

fn request(key: &KeyPair, name: &str, cluster: &str) -> UserCertsRequest {
    UserCertsRequest {
        username: name.to_owned(),
        tls_public_key: key.public().to_pem().into_bytes(),
        expires: Some(people::in_seconds(600)),
        route_to_app: Some(RouteToApp {
            name: "hello".to_owned(),
            public_addr: "hello.proxy.localhost".to_owned(),
            cluster_name: cluster.to_owned(),
            ..RouteToApp::default()
        }),
        ..UserCertsRequest::default()
    }
}

/// What `curl --cacert host-ca --cert tlscert --key key https://hello.proxy.localhost:PORT/path` prints.
async fn curl(proxy: SocketAddr, authorities: &[Certificate], person: Option<&Person>) -> String {
    let options = ClientOptions {
        trust: Trust::Roots(authorities.to_vec()),
        certificate: person.map(Person::chain),
        alpn: vec![b"http/1.1".to_vec()],
    };
    let config = client_config(options, &Clock::system()).unwrap();
    let stream = TcpStream::connect(proxy).await.unwrap();
    let name = ServerName::try_from("hello.proxy.localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
    let request = format!(
        "GET /path?a=b HTTP/1.1\r\nHost: hello.proxy.localhost:{}\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n",
        proxy.port()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without a farewell has said everything all the same.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_an_application_leads_to_it_and_nothing_else_does() {
    let cluster = cluster(echo().await).await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let admin = cluster.admin().await;
    people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
    people::role(&admin, "prod", json!({"allow": {"app_labels": {"env": "prod"}}})).await;
    let alice = people::user(&admin, "alice", &["dev"], 600).await;
    let client = cluster.client(alice.credentials()).await;
    let routed = routed(&client, "alice", "test.example").await;

    // The agent has linked up, but the proxy may hear of its application a moment later.
    let answer = until("the application is reached", async || {
        let answer = curl(proxy, &alice.authorities, Some(&routed)).await;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    })
    .await;
    let seen = answer.to_ascii_lowercase();
    assert!(seen.contains("get /path?a=b http/1.1"), "{answer}");
    assert!(seen.contains("teleport-jwt-assertion: ey"), "{answer}");
    assert!(seen.contains("x-forwarded-for: 127.0.0.1") && !seen.contains("6.6.6.6"), "{answer}");

    for (who, person) in [("nobody", None), ("a certificate without a route", Some(&alice))] {
        let answer = curl(proxy, &alice.authorities, person).await;
        assert!(
            answer.starts_with("HTTP/1.1 302")
                && answer.contains("/web/launch/")
                && answer.contains("x-teleport-login"),
            "{who}: {answer}"
        );
    }
    let bob = people::user(&admin, "bob", &["prod"], 600).await;
    let (client, key) = (cluster.client(bob.credentials()).await, people::key());
    let refused = client.call::<GenerateUserCerts>(request(&key, "bob", "test.example")).await;
    if let Ok(certs) = refused {
        let answer = curl(proxy, &alice.authorities, Some(&Person::from_certs(key, &certs))).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }

    // An agent that stops tells what it has not told yet.
    let cluster = cluster.restart().await;
    let page = cluster.server().auth().store().backend().journal_read(None, 10_000).await.unwrap();
    let events = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
    let requests: Vec<Value> = events.filter(|event| event["event"] == "app.session.request").collect();
    let [request] = &requests[..] else { panic!("one request came to the application: {requests:?}") };
    let session = Identity::from_subject(routed.certificate.subject()).unwrap().route_to_app.session_id;
    for (field, expect) in [
        ("sid", json!(crypto::hash::sha256_hex(session.as_bytes())[..32])),
        ("user", json!("alice")),
        ("app_name", json!("hello")),
        ("method", json!("GET")),
        ("path", json!("/path")),
        ("status_code", json!(200)),
        ("count", json!(1)),
    ] {
        assert_eq!(request[field], expect, "{field} of {request}");
    }
    cluster.stop().await;
}
