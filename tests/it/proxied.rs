//! A client behind a proxy: auth knows it by the proxy's signed word, and by nobody else's.

use std::{net::SocketAddr, time::Duration};

use api::{
    r#gen::{proto, teleport::users::v1::GetUserRequest, types},
    methods::{
        Method,
        proto::{
            auth_service::{CreateTokenV2, GenerateUserCerts, Ping},
            join_service::RegisterUsingToken,
        },
        teleport::{transport::v1::transport_service::GetClusterDetails, users::v1::users_service::GetUser},
    },
};
use client::Client;
use clock::{Clock, Timestamp};
use crypto::tls::{AUTH_SERVER_NAME, CertificateChain};
use domain::identity::Identity;
use net::proxy_protocol::Header;
use prost::Message;
use serde_json::json;
use testkit::{Cluster, Options};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;
use tunnel::source::Statement;

use crate::{
    proxy_grpc::{self, NAME, TRANSPORT},
    public_port,
    support::{
        people::{self, Person, document},
        raw::{Answer, Raw, code, tls},
    },
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

/// A connection that begins with `begin`; `None` when it is turned away.
async fn reach(cluster: &Cluster, begin: &[u8], certificate: Option<CertificateChain>) -> Option<Raw> {
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream.write_all(begin).await.unwrap();
    let connector = TlsConnector::from(tls(certificate));
    let stream = connector.connect(AUTH_SERVER_NAME.try_into().unwrap(), stream).await.ok()?;
    Some(Raw::over(stream).await)
}

/// Where the server says that its client is.
async fn seen(cluster: &Cluster, begin: &[u8], certificate: Option<CertificateChain>) -> Option<String> {
    let answer = reach(cluster, begin, certificate).await?.call(Ping::PATH, b"").await;
    Some(proto::PingResponse::decode(answer.message_bytes()).unwrap().remote_addr)
}

/// The block with which `who` speaks for a client; the second address is the one that is signed.
fn block(who: &Person, said: &str, signed: &str, cluster: &str, now: Timestamp) -> Vec<u8> {
    let (said, signed): (SocketAddr, SocketAddr) = (said.parse().unwrap(), signed.parse().unwrap());
    let destination: SocketAddr = "192.0.2.80:3080".parse().unwrap();
    let statement = Statement { source: signed, destination, counted: signed.ip(), cluster };
    Header { source: said, ..statement.sign(now, &who.certificate, &who.key).unwrap() }.to_v2().unwrap()
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

/// What a person is told who asks for a further certificate of her own, and the certificate.
async fn asked(auth: &Raw, name: &str) -> (Answer, Option<Person>) {
    let key = people::key();
    let request = proto::UserCertsRequest {
        username: name.to_owned(),
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(people::in_seconds(300)),
        ..Default::default()
    };
    let answer = auth.call(GenerateUserCerts::PATH, &request.encode_to_vec()).await;
    let certs = answer.is(code::OK).then(|| proto::Certs::decode(answer.message_bytes()).unwrap());
    (answer, certs.map(|certs| Person::from_certs(key, &certs)))
}

fn pinned(person: &Person) -> String {
    Identity::from_subject(person.certificate.subject()).unwrap().pinned_ip
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_is_good_from_its_address_alone_on_every_way() {
    let cluster = public_port::cluster("").await;
    let admin = cluster.admin().await;
    let proxy = host(&cluster, &admin, "Proxy").await;
    people::role(&admin, "pinned", json!({})).await;
    let alice = people::user(&admin, "alice", &["pinned"], 600).await;
    people::role(&admin, "pinned", json!({"options": {"pin_source_ip": true}})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let behind = |address: &str| block(&proxy, address, address, "test.example", Clock::system().now());

    // The pin is the address that the proxy signs, and none that a stranger can have told the proxy.
    let auth = reach(&cluster, &behind("198.51.100.7:0"), Some(alice.chain())).await.unwrap();
    let (answer, _) = asked(&auth, "alice").await;
    assert!(answer.is(code::PERMISSION_DENIED) && answer.message.contains("pin_source_ip"), "{answer:?}");
    let auth = reach(&cluster, &behind(CLIENT), Some(alice.chain())).await.unwrap();
    let there = asked(&auth, "alice").await.1.expect("her certificate");
    assert_eq!(pinned(&there), "198.51.100.7");

    let me = GetUserRequest { current_user: true, ..GetUserRequest::default() }.encode_to_vec();
    for (what, begin, expect) in [
        ("her address", behind(CLIENT), code::OK),
        ("another port of it", behind("198.51.100.7:5"), code::OK),
        ("the same, as anybody can claim it", behind("198.51.100.7:0"), code::PERMISSION_DENIED),
        ("another address behind the proxy", behind("198.51.100.8:4000"), code::PERMISSION_DENIED),
        ("straight", Vec::new(), code::PERMISSION_DENIED),
    ] {
        let auth = reach(&cluster, &begin, Some(there.chain())).await.unwrap();
        let answer = auth.call(GetUser::PATH, &me).await;
        assert!(answer.is(expect), "{what}: {answer:?}");
    }

    // The proxy itself refuses her early, and takes her address along.
    let auth = reach(&cluster, b"", Some(alice.chain())).await.unwrap();
    let here = asked(&auth, "alice").await.1.expect("her certificate");
    assert_eq!(pinned(&here), "127.0.0.1");
    let address = cluster.server().proxy_addr().unwrap();
    let authorities = || cluster.server().auth().host_certificates().unwrap();
    for (person, expect) in [(&there, code::PERMISSION_DENIED), (&here, code::OK)] {
        let known = proxy_grpc::connect(address, NAME, authorities(), Some(person.chain()), TRANSPORT).await;
        let answer = Raw::over(known).await.call(GetClusterDetails::PATH, b"").await;
        assert!(answer.is(expect), "{}: {answer:?}", pinned(person));
    }
    let stream = proxy_grpc::connect(address, NAME, authorities(), Some(here.chain()), TRANSPORT).await;
    let inner = proxy_grpc::within_a_stream(stream, "test.example").await;
    let connector = TlsConnector::from(tls(Some(here.chain())));
    let auth = Raw::over(connector.connect(AUTH_SERVER_NAME.try_into().unwrap(), inner).await.unwrap()).await;
    let answer = auth.call(GetUser::PATH, &me).await;
    assert!(answer.is(code::OK), "{answer:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_behind_one_proxy_are_counted_by_their_own_addresses() {
    let teleport = "  connection_limits: {max_connections: 1}\n".to_owned();
    let cluster = Cluster::start_with(Options { teleport, ..Options::default() }).await;
    let admin = cluster.admin().await;
    let proxy = host(&cluster, &admin, "Proxy").await;
    let served = async |begin: &[u8]| {
        let stranger = reach(&cluster, begin, None).await.unwrap();
        assert!(stranger.call(Ping::PATH, b"").await.is(code::OK));
        stranger
    };
    let behind =
        async |address: &str| served(&block(&proxy, address, address, "test.example", Clock::system().now())).await;
    let mut here: Vec<Raw> = Vec::new();
    for address in ["198.51.100.7:4000", "198.51.100.8:4000", "198.51.100.9:4000"] {
        here.push(behind(address).await);
    }
    let soon = Duration::from_millis(500);
    let second = tokio::time::timeout(soon, behind("198.51.100.7:4001")).await;
    assert!(second.is_err(), "one address has one place, on whatever way it comes");
    here.clear();
    behind("198.51.100.7:4002").await;

    // What somebody has claimed makes him no other.
    let claimed = async |address: &str| {
        let (source, destination) = (address.parse().unwrap(), "192.0.2.80:3080".parse().unwrap());
        let counted = "203.0.113.5".parse().unwrap();
        let statement = Statement { source, destination, counted, cluster: "test.example" };
        let begin = statement.sign(Clock::system().now(), &proxy.certificate, &proxy.key).unwrap();
        served(&begin.to_v2().unwrap()).await
    };
    here.push(claimed("198.51.100.7:0").await);
    assert!(tokio::time::timeout(soon, claimed("198.51.100.8:0")).await.is_err(), "a claim for each place");
    here.push(behind("198.51.100.8:4003").await);
    cluster.stop().await;
}
