//! The links to agents and to other proxies: who has places on them, and what is done where one is full, lost or half open.

use std::{convert::Infallible, time::Duration};

use crypto::tls::{CertificateChain, ClientAuth, ServerCertificate, server_config};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};
use tokio_rustls::TlsAcceptor;
use tunnel::{Open, OpenError, Transport, link::Opener};

use super::{
    until,
    world::{AGENT, APP, SESSION, World, get, text, world},
};
use crate::{
    applications::{agents, places::Holder},
    router::{H2, PEER, TUNNEL},
};

/// Far beyond what anything here takes, also where other tests run beside this one.
const LONG: Duration = Duration::from_secs(8);

impl World {
    /// A client's connection for gRPC.
    async fn grpc(&self, certificate: &CertificateChain) -> SendRequest<Full<Bytes>> {
        let stream = self.connect(APP, Some(certificate.clone()), &[H2]).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn call(path: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://{APP}{path}")).header("te", "trailers");
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_proxy_that_has_carried_something_to_another_one_comes_to_its_end() {
    let mut world = world().await;
    let _agent = world.agent().await;
    world.meet_another_proxy().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    drop(text(sender.send_request(get(APP, "/")).await.unwrap()).await);
    drop(sender);
    world.stop.soft();
    assert!(timeout(LONG, world.proxy.tasks.finished()).await.is_ok(), "{} left", world.proxy.tasks.running());
}

#[tokio::test]
async fn each_user_of_another_proxy_has_a_share_of_a_link_and_a_full_one_is_said_before_it_is_opened() {
    let world = world().await;
    let _agent = world.agent().await;
    let stream = world.connect("f00d.c.example", Some(world.chain("beef", "Proxy").await), &[PEER]).await.unwrap();
    let clock = clock::Clock::system();
    let (opener, link) = Opener::begin(Transport::plain(stream), "f00d", &clock).await.unwrap();
    tokio::spawn(link);
    let open = async |user: &str| {
        let (agent, share) = (Some(AGENT.to_owned()), Some(user.to_owned()));
        let source = Some("192.0.2.1:1".parse().unwrap());
        opener.open(&Open { agent, share, source, ..Open::service("app") }, &clock).await
    };
    let mut streams = Vec::new();
    let refused = loop {
        match open("alice").await {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
        // What was admitted takes its place a moment later.
        tokio::task::yield_now().await;
    };
    assert!(matches!(&refused, OpenError::Refused(why) if why.contains("the user has too many")), "{refused}");
    assert!(streams.len() > 500, "{} of one user", streams.len());
    streams.push(open("bob").await.unwrap());
}

#[tokio::test]
async fn a_link_that_loses_each_stream_does_not_hide_another_way() {
    let mut world = world().await;
    let _agent = world.agent().await;
    world.meet_another_proxy().await;
    let chain = world.chain(AGENT, "App").await;
    let stream = world.connect("proxy.teleport.cluster.local", Some(chain), &[TUNNEL]).await.unwrap();
    // Listens to the news, and resets all else.
    let service = service_fn(async |request: Request<Incoming>| match is_control(request.headers()) {
        true => {
            drop(tokio::spawn(async move { http_body_util::BodyExt::collect(request.into_body()).await.map(drop) }));
            Ok(Response::new(Forever))
        }
        false => Err("no"),
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
    until(|| world.proxy.switchboard.is_connected(AGENT)).await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let response = timeout(LONG, sender.send_request(get(APP, "/around"))).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(text(response).await.contains("GET /around"));
    let server = world.proxy.view.servers_of("grafana").remove(0);
    let source = ([127, 0, 0, 1], 1).into();
    let held = agents::open(&world.proxy, &server, &Holder::user("alice"), source, None).await.unwrap();
    assert_eq!(&*held.place.link, "other proxies", "it takes a place of a link that does not carry it");
}

fn is_control(headers: &HeaderMap) -> bool {
    headers["tessera-service"] == "control"
}

/// A body that does not end.
struct Forever;

impl hyper::body::Body for Forever {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn more_calls_of_a_session_than_one_connection_carries_are_answered() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut senders = Vec::new();
    for _ in 0..3 {
        let mut sender = world.grpc(&certificate).await;
        let answer = timeout(LONG, sender.send_request(call("/first"))).await.expect("no answer").unwrap();
        drop(text(answer).await);
        for _ in 0..100 {
            tokio::spawn(sender.send_request(call("/never")));
        }
        senders.push(sender);
    }
    // All of them are on their way by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answer = timeout(LONG, senders[0].send_request(call("/one/more"))).await.expect("no answer").unwrap();
    assert!(text(answer).await.contains("POST /one/more"));
}

#[tokio::test]
async fn another_proxy_opens_streams_to_applications_alone_and_cannot_say_that_one_begins_with_a_proof() {
    let world = world().await;
    let _agent = world.agent().await;
    let stream = world.connect("f00d.c.example", Some(world.chain("beef", "Proxy").await), &[PEER]).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (service, expect) in [("control", StatusCode::FORBIDDEN), ("app", StatusCode::OK)] {
        let open = Open {
            agent: Some(AGENT.to_owned()),
            source: Some("192.0.2.1:1".parse().unwrap()),
            protocol: Some("http/1.1".to_owned()),
            ..Open::service(service)
        };
        let request = open.to_request().unwrap().map(|()| Full::<Bytes>::default());
        assert_eq!(sender.send_request(request).await.unwrap().status(), expect, "{service}");
    }
    until(|| !world.opened.lock().unwrap().is_empty()).await;
    let opened = world.opened.lock().unwrap();
    assert!(matches!(&opened[..], [Open { service, protocol: None, .. }] if service == "app"), "{opened:?}");
}

#[tokio::test]
async fn the_session_is_shown_within_our_own_links_and_by_tls_past_another_proxy_or_to_an_old_agent() {
    for (is_far, is_old, shown) in
        [(false, false, "within the link"), (true, false, "by TLS"), (false, true, "by TLS"), (true, true, "by TLS")]
    {
        let mut world = world().await;
        let _agent = if is_old { world.old_agent().await } else { world.agent().await };
        if is_far {
            world.meet_another_proxy().await;
        }
        let certificate = world.session("alice", "grafana", SESSION).await;
        let response = world.http(APP, Some(certificate)).await.send_request(get(APP, "/")).await.unwrap();
        let page = text(response).await;
        assert!(page.contains(&format!("shown: {shown}\n")), "{page}");
    }
}

#[tokio::test]
async fn another_service_of_an_agents_machine_does_not_pass_for_the_agent_of_another_proxy() {
    let mut world = world().await;
    let node = world.chain(AGENT, "Node").await;
    let _agent = world.agent_that_shows(node, &world.users, AGENT, world.address).await;
    world.meet_another_proxy().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let response = world.http(APP, Some(certificate)).await.send_request(get(APP, "/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let page = text(response).await;
    assert!(page.contains("between the proxy and the agent"), "{page}");
}

#[tokio::test]
async fn another_service_of_a_proxys_machine_does_not_pass_for_the_proxy() {
    for (role, is_spoken_to) in [("Node", false), ("Proxy", true)] {
        let mut world = world().await;
        world.meet_another_proxy().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        world.proxy.peers.set([("f00d".to_owned(), address)].into());
        let shown = ServerCertificate::new(world.chain("f00d", role).await);
        let tls = server_config(shown, ClientAuth::None, &[PEER], &clock::Clock::system()).unwrap();
        let heard = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(tls).accept(tcp).await.unwrap();
            matches!(stream.read(&mut [0]).await, Ok(1))
        });
        let certificate = world.session("alice", "grafana", SESSION).await;
        let mut sender = world.http(APP, Some(certificate)).await;
        tokio::spawn(async move { sender.send_request(get(APP, "/")).await.map(drop) });
        assert_eq!(timeout(LONG, heard).await.unwrap().unwrap(), is_spoken_to, "{role}");
    }
}
