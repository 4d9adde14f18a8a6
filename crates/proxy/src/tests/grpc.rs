//! gRPC that ends at the proxy: who may call what, and where a stream leads.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use api::{
    r#gen::teleport::transport::v1::{
        Frame, GetClusterDetailsRequest, ProxyClusterRequest, ProxyClusterResponse, ProxySshRequest, TargetHost,
    },
    methods::{
        Method,
        teleport::transport::v1::transport_service::{GetClusterDetails, ProxyCluster, ProxySsh},
    },
};
use crypto::tls::CertificateChain;
use domain::resources::{
    Lock,
    lock::{LockSpec, LockTarget},
};
use futures_util::{Stream, stream};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::proxy_protocol::{self, Mode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status, Streaming, body::Body, client::Grpc};
use tonic_prost::ProstCodec;

use super::world::{CLUSTER, PROXY, World, world, world_with};
use crate::router::{GRPC, H2, JOIN};

/// The proxy's own name in its host certificate.
const NAME: &str = "proxy.teleport.cluster.local";

/// One connection of a gRPC client.
#[derive(Clone)]
struct Connection(http2::SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut sender = self.0.clone();
        Box::pin(async move { sender.send_request(request).await })
    }
}

async fn connection(world: &World, name: &str, certificate: Option<CertificateChain>, alpn: &[u8]) -> Grpc<Connection> {
    let stream = world.connect(name, certificate, &[alpn, H2]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    Grpc::with_origin(Connection(sender), "https://proxy".parse().unwrap())
}

/// One request, one answer.
async fn unary(grpc: &mut Grpc<Connection>, path: &'static str) -> Result<(), Status> {
    let codec = ProstCodec::<GetClusterDetailsRequest, ProxyClusterResponse>::default();
    let request = tonic::Request::new(GetClusterDetailsRequest {});
    grpc.unary(request, http::uri::PathAndQuery::from_static(path), codec).await.map(drop)
}

async fn proxy_cluster(
    grpc: &mut Grpc<Connection>,
    requests: impl Stream<Item = ProxyClusterRequest> + Send + 'static,
) -> Result<Streaming<ProxyClusterResponse>, Status> {
    let path = http::uri::PathAndQuery::from_static(ProxyCluster::PATH);
    grpc.streaming(tonic::Request::new(requests), path, ProstCodec::default()).await.map(tonic::Response::into_inner)
}

fn to(cluster: &str) -> ProxyClusterRequest {
    ProxyClusterRequest { cluster: cluster.into(), frame: None }
}

fn frame(bytes: &[u8]) -> ProxyClusterRequest {
    ProxyClusterRequest { cluster: String::new(), frame: Some(Frame { payload: bytes.into() }) }
}

async fn of_alice(world: &World) -> CertificateChain {
    let (certificate, key) = world.users.user("alice", "", "", Duration::from_secs(3600)).await;
    CertificateChain::new(&[certificate], &key).unwrap()
}

async fn alice(world: &World) -> Grpc<Connection> {
    connection(world, NAME, Some(of_alice(world).await), GRPC[0]).await
}

/// What arrives at the auth service: the client's address by the proxy's word, and the rest.
async fn accept(world: &World) -> (std::net::SocketAddr, net::Prefixed<TcpStream>) {
    let (stream, _) = world.auth.accept().await.unwrap();
    let (header, rest) = proxy_protocol::read(stream, Mode::On).await.unwrap();
    let header = header.unwrap();
    world.said(&header);
    (header.source, rest)
}

#[tokio::test]
async fn calls_that_are_not_built_are_refused_by_name_and_the_others_without_a_certificate() {
    let world = world().await;
    for alpn in GRPC.into_iter().chain([JOIN]) {
        let name = if alpn == JOIN { PROXY } else { NAME };
        let mut grpc = connection(&world, name, None, alpn).await;
        for path in ["/proto.AuthService/Ping", "/teleport.kube.v1.KubeService/ListKubernetesResources", "//"] {
            let refused = unary(&mut grpc, path).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
            assert!(refused.message().contains(path), "{refused:?}");
        }
        for path in [GetClusterDetails::PATH, ProxyCluster::PATH, ProxySsh::PATH] {
            let refused = unary(&mut grpc, path).await.unwrap_err();
            let expect = if alpn == JOIN { Code::Unimplemented } else { Code::PermissionDenied };
            assert_eq!(refused.code(), expect, "{path}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_member_is_one_by_its_certificate_for_as_long_as_that_is_good() {
    let world = world().await;
    unary(&mut alice(&world).await, GetClusterDetails::PATH).await.unwrap();
    let (certificate, key) = world.hosts.host("a6e7", "App", &[]).await;
    let host = CertificateChain::new(&[certificate], &key).unwrap();
    unary(&mut connection(&world, NAME, Some(host), GRPC[0]).await, GetClusterDetails::PATH).await.unwrap();

    let other = super::world::Authority::new(7).await;
    let (certificate, key) = other.user("alice", "", "", Duration::from_secs(3600)).await;
    let stranger = CertificateChain::new(&[certificate], &key).unwrap();
    let mut refused = world.connect(NAME, Some(stranger), &[GRPC[0], H2]).await;
    if let Ok(stream) = &mut refused {
        // The server's alert comes after the client's side of the handshake.
        assert!(stream.read(&mut [0; 64]).await.is_err());
    }

    let mut standing = alice(&world).await;
    unary(&mut standing, GetClusterDetails::PATH).await.unwrap();
    let target = LockTarget { user: "alice".into(), ..LockTarget::default() };
    world.proxy.view.set_locks(vec![Lock::new("no-alice", LockSpec { target, ..LockSpec::default() })]);
    let refused = unary(&mut standing, GetClusterDetails::PATH).await.unwrap_err();
    assert!(refused.code() == Code::PermissionDenied && refused.message().contains("lock"), "{refused:?}");
    world.proxy.view.set_locks(Vec::new());
    unary(&mut standing, GetClusterDetails::PATH).await.unwrap();
    world.proxy.view.set_authorities(vec![world.hosts.document(domain::ca::CaType::Host)]);
    let refused = unary(&mut standing, GetClusterDetails::PATH).await.unwrap_err();
    assert!(refused.message().contains("not trusted any more"), "{refused:?}");
}

#[tokio::test]
async fn a_stream_is_a_connection_to_the_auth_service() {
    let world = world().await;
    let mut grpc = alice(&world).await;
    let big = vec![7; 40_000];
    let first = ProxyClusterRequest { frame: frame(b"hello ").frame, ..to(CLUSTER) };
    let requests = stream::iter([first, frame(b""), frame(b"auth"), frame(&big)]);
    let (answers, (source, mut auth)) = tokio::join!(proxy_cluster(&mut grpc, requests), accept(&world));
    let mut answers = answers.unwrap();
    assert!(source.ip().is_loopback());
    let mut heard = Vec::new();
    auth.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, [b"hello auth".as_slice(), &big].concat(), "all that was sent, to the end of the client's side");
    auth.write_all(&big).await.unwrap();
    auth.shutdown().await.unwrap();
    let mut back = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let payload = answer.frame.expect("every answer has a frame").payload;
        assert!((1..=16 * 1024).contains(&payload.len()), "{}", payload.len());
        back.extend(payload);
    }
    assert!(back == big);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_connection_with_it() {
    let world = world().await;
    // All that the client is made of lives in a runtime of its own, and ends with it.
    let elsewhere = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let stream = world.connect(NAME, Some(of_alice(&world).await), &[GRPC[0], H2]).await.unwrap();
    let handshake = elsewhere.spawn(http2::handshake(TokioExecutor::new(), TokioIo::new(stream)));
    let (sender, driver) = handshake.await.unwrap().unwrap();
    elsewhere.spawn(driver);
    let mut grpc = Grpc::with_origin(Connection(sender), "https://proxy".parse().unwrap());
    let requests = futures_util::StreamExt::chain(stream::iter([to(CLUSTER)]), stream::pending());
    let (answers, (_, mut auth)) = tokio::join!(proxy_cluster(&mut grpc, requests), accept(&world));
    answers.unwrap();
    elsewhere.shutdown_background();
    let ended = clock::Clock::system().timeout(Duration::from_secs(10), auth.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "the auth service hears of it");
}

#[tokio::test]
async fn a_connection_takes_no_more_calls_when_its_certificate_has_ended_and_streams_go_on() {
    let world = world().await;
    let (certificate, key) = world.users.user("alice", "", "", Duration::from_secs(5)).await;
    let short = CertificateChain::new(&[certificate], &key).unwrap();
    let mut grpc = connection(&world, NAME, Some(short), GRPC[0]).await;
    let requests = futures_util::StreamExt::chain(stream::iter([to(CLUSTER)]), stream::pending());
    let (answers, (_, mut auth)) = tokio::join!(proxy_cluster(&mut grpc, requests), accept(&world));
    unary(&mut grpc, GetClusterDetails::PATH).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    unary(&mut grpc, GetClusterDetails::PATH).await.unwrap_err();
    auth.write_all(b"still here").await.unwrap();
    let answer = answers.unwrap().message().await.unwrap().unwrap();
    assert_eq!(answer.frame.unwrap().payload, b"still here");
}

#[tokio::test]
async fn a_stream_that_is_silent_does_not_hold_a_proxy_that_stops() {
    let world = world().await;
    let mut grpc = alice(&world).await;
    let requests = futures_util::StreamExt::chain(stream::iter([to(CLUSTER)]), stream::pending());
    let (answers, _auth) = tokio::join!(proxy_cluster(&mut grpc, requests), accept(&world));
    world.stop.soft();
    let mut answers = answers.unwrap();
    let ended = clock::Clock::system().timeout(Duration::from_secs(15), answers.message()).await;
    assert_eq!(ended.expect("it goes on").unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_no_stream_is_refused_in_words() {
    let world = world_with(|config| config.limits.handshake_deadline = Duration::from_secs(2)).await;
    let mut grpc = alice(&world).await;
    for (first, code, words) in [
        (to("other.example"), Code::NotFound, "\"other.example\""),
        (to(&"x".repeat(5000)), Code::NotFound, "xxx"),
        (to(""), Code::InvalidArgument, "name the cluster"),
        (frame(b"too early"), Code::InvalidArgument, "name the cluster"),
        (frame(&[0; 70_000]), Code::ResourceExhausted, ""),
    ] {
        let refused = proxy_cluster(&mut grpc, stream::iter([first])).await.unwrap_err();
        assert!(refused.code() == code && refused.message().contains(words), "{words}: {refused:?}");
        assert!(refused.message().len() < 400, "{refused:?}");
    }
    let refused = proxy_cluster(&mut grpc, stream::empty()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let refused = proxy_cluster(&mut grpc, stream::pending()).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");

    for (second, code) in [
        (to(CLUSTER), Code::InvalidArgument),
        (ProxyClusterRequest::default(), Code::InvalidArgument),
        (frame(&[0; 70_000]), Code::ResourceExhausted),
    ] {
        let requests = stream::iter([to(CLUSTER), frame(b"fine"), second]);
        let (answers, (_, mut auth)) = tokio::join!(proxy_cluster(&mut grpc, requests), accept(&world));
        let mut heard = [0; 4];
        auth.read_exact(&mut heard).await.unwrap();
        let refused = answers.unwrap().message().await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let world = world().await;
    let mut grpc = alice(&world).await;
    let target =
        |host_port: &str, cluster: &str| Some(TargetHost { host_port: host_port.into(), cluster: cluster.into() });
    for (dial_target, code, words) in [
        (target("node-1:0", CLUSTER), Code::NotFound, "\"node-1:0\""),
        (target("node-1:0", "other.example"), Code::NotFound, "cluster \"other.example\""),
        (target("", CLUSTER), Code::InvalidArgument, "name the host"),
        (None, Code::InvalidArgument, "name the host"),
    ] {
        let requests = stream::iter([ProxySshRequest { dial_target, frame: None }]);
        let path = http::uri::PathAndQuery::from_static(ProxySsh::PATH);
        let codec = ProstCodec::<ProxySshRequest, ProxyClusterResponse>::default();
        let refused = grpc.streaming(tonic::Request::new(requests), path, codec).await.unwrap_err();
        assert!(refused.code() == code && refused.message().contains(words), "{words}: {refused:?}");
    }
}
