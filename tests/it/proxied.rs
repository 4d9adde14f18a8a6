//! A client behind a proxy: auth knows it by the proxy's signed word, and by nobody else's.

use std::{net::SocketAddr, time::Duration};

use api::{
    r#gen::{proto, types},
    methods::{
        Method,
        proto::{
            auth_service::{CreateTokenV2, Ping},
            join_service::RegisterUsingToken,
        },
    },
};
use client::Client;
use clock::{Clock, Timestamp};
use crypto::tls::{AUTH_SERVER_NAME, CertificateChain};
use net::proxy_protocol::{Header, Tlv};
use prost::Message;
use serde_json::json;
use testkit::Cluster;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;
use tunnel::source::{self, Statement};

use crate::support::{
    people::{self, Person, document},
    raw::{Raw, tls},
};

const HOST: &str = "2d1e8f5c-0000-4000-8000-000000000001";
const CLIENT: &str = "198.51.100.7:4000";

/// A host that has joined.
pub(crate) async fn host(cluster: &Cluster, admin: &Client, role: &str) -> Person {
    let name = format!("for-{role}");
    let token = document(json!({
        "kind": "token", "version": "v2", "metadata": {"name": name}, "spec": {"roles": [role], "join_method": "token"}
    }));
    let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
    admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await.unwrap();
    let key = people::key();
    let request = types::RegisterUsingTokenRequest {
        host_id: HOST.into(),
        role: role.into(),
        ..people::join_request(&name, &key)
    };
    let stranger = Raw::stranger(cluster.address()).await;
    let answer = stranger.call(RegisterUsingToken::PATH, &request.encode_to_vec()).await;
    assert!(answer.is_success(), "{answer:?}");
    Person::from_certs(key, &proto::Certs::decode(answer.message_bytes()).unwrap())
}

/// Where the server says that a client is which begins with `begin`; `None` when it is turned away.
async fn seen(cluster: &Cluster, begin: &[u8], certificate: Option<CertificateChain>) -> Option<String> {
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream.write_all(begin).await.unwrap();
    let connector = TlsConnector::from(tls(certificate));
    let stream = connector.connect(AUTH_SERVER_NAME.try_into().unwrap(), stream).await.ok()?;
    let answer = Raw::over(stream).await.call(Ping::PATH, b"").await;
    Some(proto::PingResponse::decode(answer.message_bytes()).unwrap().remote_addr)
}

/// The block with which `who` speaks for a client; the second address is the one that is signed.
fn block(who: &Person, said: &str, signed: &str, cluster: &str, now: Timestamp) -> Vec<u8> {
    let (said, signed): (SocketAddr, SocketAddr) = (said.parse().unwrap(), signed.parse().unwrap());
    let destination: SocketAddr = "192.0.2.80:3080".parse().unwrap();
    let word = Statement { source: signed, destination, cluster }.sign(now, &who.certificate, &who.key).unwrap();
    Header { source: said, destination, tlvs: vec![Tlv { kind: source::TLV, value: word }] }.to_v2().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_proxy_is_known_by_the_word_of_a_proxy_alone() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let (proxy, agent) = (host(&cluster, &admin, "Proxy").await, host(&cluster, &admin, "App").await);
    people::role(&admin, "nothing", json!({})).await;
    let alice = people::user(&admin, "alice", &["nothing"], 600).await;
    let (name, now) = ("test.example", || Clock::system().now());

    let good = || block(&proxy, CLIENT, CLIENT, name, now());
    assert_eq!(seen(&cluster, &good(), None).await.as_deref(), Some(CLIENT), "a stranger behind the proxy");
    assert_eq!(seen(&cluster, &good(), Some(alice.chain())).await.as_deref(), Some(CLIENT));
    assert!(seen(&cluster, b"", Some(alice.chain())).await.unwrap().starts_with("127.0.0.1:"));

    let unsigned =
        Header { source: CLIENT.parse().unwrap(), destination: "192.0.2.80:3080".parse().unwrap(), tlvs: Vec::new() };
    let stranger = Person { key: people::key(), ..proxy.clone() };
    for (what, begin) in [
        ("unsigned", unsigned.to_v2().unwrap()),
        ("version 1", b"PROXY TCP4 198.51.100.7 192.0.2.80 4000 3080\r\n".to_vec()),
        ("an agent", block(&agent, CLIENT, CLIENT, name, now())),
        ("a user", block(&alice, CLIENT, CLIENT, name, now())),
        ("another key", block(&stranger, CLIENT, CLIENT, name, now())),
        ("another address", block(&proxy, "198.51.100.8:4000", CLIENT, name, now())),
        ("another cluster", block(&proxy, CLIENT, CLIENT, "other.example", now())),
        ("long ago", block(&proxy, CLIENT, CLIENT, name, now() - Duration::from_secs(120))),
    ] {
        assert_eq!(seen(&cluster, &begin, Some(alice.chain())).await, None, "{what}");
    }
    people::lock(&admin, "stolen", json!({"server_id": HOST})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(&cluster, &good(), None).await, None, "a locked proxy");
    cluster.stop().await;
}
