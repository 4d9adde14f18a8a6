//! The gRPC of the proxy, before a whole cluster: joining without a certificate, and the auth service within a stream.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use api::{
    r#gen::{
        proto,
        teleport::{
            transport::v1::{Frame, ProxyClusterRequest, ProxyClusterResponse, ProxySshRequest, TargetHost},
            users::v1::GetUserRequest,
        },
    },
    methods::{
        Method,
        proto::{auth_service::Ping, join_service::RegisterUsingToken},
        teleport::{
            transport::v1::transport_service::{GetClusterDetails, ProxyCluster, ProxySsh},
            users::v1::users_service::GetUser,
        },
    },
};
use bytes::{Buf, Bytes, BytesMut};
use clock::Clock;
use crypto::{
    tls::{AUTH_SERVER_NAME, CertificateChain, ClientOptions, Trust, client_config},
    x509::Certificate,
};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, WriteHalf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    public_port::cluster,
    support::{
        people,
        raw::{Raw, code, framed, tls},
    },
};

/// The proxy's own name. Its certificate is not that of the auth service.
pub(crate) const NAME: &str = "proxy.localhost";

pub(crate) const TRANSPORT: &[u8] = b"teleport-proxy-ssh-grpc";

/// TLS with the proxy, as one of its gRPC clients.
pub(crate) async fn connect(
    proxy: SocketAddr,
    name: &str,
    authorities: Vec<Certificate>,
    certificate: Option<CertificateChain>,
    alpn: &[u8],
) -> TlsStream<TcpStream> {
    let alpn = vec![alpn.to_vec(), b"h2".to_vec()];
    let options = ClientOptions { trust: Trust::Roots(authorities), certificate, alpn };
    let config = client_config(options, &Clock::system()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, TcpStream::connect(proxy).await.unwrap()).await.unwrap()
}

/// The connection to the auth service within a stream of a connection to the proxy.
pub(crate) async fn within_a_stream(stream: TlsStream<TcpStream>, cluster: &'static str) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (from_client, to_client) = tokio::io::split(far);
    let first = ProxyClusterRequest { cluster: cluster.into(), frame: None };
    let requests = stream::unfold((Some(first), from_client), async |(first, mut from_client)| {
        let request = match first {
            Some(first) => first,
            None => {
                let mut payload = vec![0; 16 * 1024];
                let length = from_client.read(&mut payload).await.ok().filter(|length| *length > 0)?;
                payload.truncate(length);
                ProxyClusterRequest { cluster: String::new(), frame: Some(Frame { payload }) }
            }
        };
        let frame = body::Frame::data(framed(&request.encode_to_vec(), false));
        Some((Ok::<_, Infallible>(frame), (None, from_client)))
    });
    let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    let request = http::Request::post(format!("https://proxy{}", ProxyCluster::PATH));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(StreamBody::new(Box::pin(requests))).unwrap();
    tokio::spawn(async move {
        let answer = sender.send_request(request).await.unwrap();
        carry(answer.into_body(), to_client).await;
    });
    near
}

/// Takes what the frames of an answer carry.
async fn carry(mut answer: Incoming, mut to_client: WriteHalf<DuplexStream>) {
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = answer.frame().await {
        bytes.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        while let Some(length) = bytes.get(1..5).map(|mut length| length.get_u32() as usize) {
            if bytes.len() < 5 + length {
                break;
            }
            bytes.advance(5);
            let message = ProxyClusterResponse::decode(bytes.split_to(length)).unwrap();
            if to_client.write_all(&message.frame.unwrap().payload).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auth_service_is_reached_within_a_stream_and_knows_where_its_client_is() {
    let cluster = cluster("").await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let authorities = || cluster.server().auth().host_certificates().unwrap();
    let admin = cluster.admin().await;
    people::role(&admin, "nothing", json!({})).await;
    let alice = people::user(&admin, "alice", &["nothing"], 600).await;

    let stream = connect(proxy, NAME, authorities(), Some(alice.chain()), TRANSPORT).await;
    let source = stream.get_ref().0.local_addr().unwrap();
    let inner = within_a_stream(stream, "test.example").await;
    let connector = TlsConnector::from(tls(Some(alice.chain())));
    let auth = Raw::over(connector.connect(AUTH_SERVER_NAME.try_into().unwrap(), inner).await.unwrap()).await;
    let answer = auth.call(Ping::PATH, b"").await;
    let pong = proto::PingResponse::decode(answer.message_bytes()).unwrap();
    assert_eq!((pong.cluster_name.as_str(), pong.remote_addr), ("test.example", source.to_string()));
    let me = GetUserRequest { current_user: true, ..GetUserRequest::default() };
    let answer = auth.call(GetUser::PATH, &me.encode_to_vec()).await;
    assert!(answer.is(code::OK), "inside she is who her certificate says: {answer:?}");

    // Who shows a certificate is told what is not there; who shows none, that one is needed.
    let known = connect(proxy, NAME, authorities(), Some(alice.chain()), TRANSPORT).await;
    let known = Raw::over(known).await;
    assert!(known.call(GetClusterDetails::PATH, b"").await.is(code::OK));
    let target = TargetHost { host_port: "node-1:0".into(), cluster: "test.example".into() };
    let request = ProxySshRequest { dial_target: Some(target), frame: None };
    let answer = known.call(ProxySsh::PATH, &request.encode_to_vec()).await;
    assert!(answer.is(code::NOT_FOUND) && answer.message.contains("node-1:0"), "{answer:?}");
    let nobody = Raw::over(connect(proxy, NAME, authorities(), None, TRANSPORT).await).await;
    for path in [GetClusterDetails::PATH, ProxySsh::PATH, ProxyCluster::PATH] {
        let answer = nobody.call(path, b"").await;
        assert!(answer.is(code::PERMISSION_DENIED) && answer.data.is_empty(), "{path}: {answer:?}");
    }
    // A lock ends it, for her alone.
    people::lock(&admin, "stolen", json!({"user": "alice"})).await;
    let mut answer = known.call(GetClusterDetails::PATH, b"").await;
    for _ in 0..50 {
        if !answer.is_success() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = known.call(GetClusterDetails::PATH, b"").await;
    }
    assert!(answer.is(code::PERMISSION_DENIED) && answer.message.contains("lock"), "{answer:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_joins_by_the_grpc_of_the_proxy_and_the_log_knows_where_it_was() {
    let cluster = cluster("").await;
    let proxy = cluster.server().proxy_addr().unwrap();
    let authorities = cluster.server().auth().host_certificates().unwrap();
    let admin = cluster.admin().await;
    people::bot(&admin, "joiner", &["access"]).await;
    people::bot_token(&admin, "joiner", "joiner").await;
    let stream = connect(proxy, NAME, authorities, None, b"teleport-proxy-grpc").await;
    let near = stream.get_ref().0.local_addr().unwrap();
    let raw = Raw::over(stream).await;
    let guess = people::join_request("guessed-token", &people::key()).encode_to_vec();
    let answer = raw.call(RegisterUsingToken::PATH, &guess).await;
    assert!(answer.is(code::PERMISSION_DENIED), "{answer:?}");
    let request = people::join_request("joiner", &people::key()).encode_to_vec();
    let answer = raw.call(RegisterUsingToken::PATH, &request).await;
    assert!(answer.is(code::OK), "{answer:?}");
    let certs = proto::Certs::decode(answer.message_bytes()).unwrap();
    let certificate = Certificate::from_pem(std::str::from_utf8(&certs.tls).unwrap()).unwrap();
    assert!(certificate.common_name().unwrap().starts_with("bot-joiner"));
    for path in [Ping::PATH, GetClusterDetails::PATH, "/tessera.v1.RenewalService/Renew"] {
        assert!(raw.call(path, b"").await.is(code::UNIMPLEMENTED), "{path} is not for those who join");
    }

    let backend = cluster.server().auth().store().backend();
    let page = backend.journal_read(None, 10_000).await.unwrap();
    let events = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
    let joined: Vec<Value> = events.filter(|event| event["event"] == "bot.join").collect();
    assert!(joined.iter().any(|event| event["addr.remote"] == near.to_string()), "{near}: {joined:?}");
    cluster.stop().await;
}
