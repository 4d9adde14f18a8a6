//! Clients that take their time, and crowds of them.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crypto::tls::{CertificateChain, ClientOptions, Trust, client_config};
use net::proxy_protocol::{self, Mode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::world::{APP, CLUSTER, PROXY, SESSION, World, world, world_with};
use crate::{Config, cookies::GUESSES, router::HTTP_1_1};

/// Deadlines of a test, which its own handshakes keep.
const SHORT: Duration = Duration::from_millis(1500);

/// Far beyond these, also where other tests run beside this one.
const LONG: Duration = Duration::from_secs(8);

fn hasty(config: &mut Config) {
    config.limits.handshake_deadline = SHORT;
    config.limits.header_deadline = SHORT;
}

/// How long the proxy lets a connection be that sends one byte now and then.
async fn is_let_be(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, bytes: &[u8]) -> Duration {
    let since = Instant::now();
    for byte in bytes.iter().cycle() {
        let _ = stream.write_all(&[*byte]).await;
        match timeout(Duration::from_millis(50), stream.read(&mut [0; 64])).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) | Err(_) if since.elapsed() > LONG => break,
            _ => {}
        }
    }
    since.elapsed()
}

#[tokio::test]
async fn nobody_is_waited_for_beyond_the_deadline_however_often_he_says_something() {
    let world = world_with(hasty).await;
    let tcp = || TcpStream::connect(world.address);
    // A record of 512 bytes with a ClientHello in it.
    let hello = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[7; 400]].concat();
    let half = {
        let mut stream = tcp().await.unwrap();
        stream.write_all(&hello[..200]).await.unwrap();
        stream
    };
    let strange = world.strange().await;
    let header = format!("GET / HTTP/1.1\r\nHost: {APP}\r\nX: ");
    let mut in_header = Vec::new();
    for who in [None, Some(strange)] {
        let mut stream = world.connect(APP, who, &[HTTP_1_1]).await.unwrap();
        stream.write_all(header.as_bytes()).await.unwrap();
        in_header.push(stream);
    }
    let [no_one, self_made] = in_header.try_into().unwrap();
    let (silent, hello, half, no_one, self_made) = tokio::join!(
        is_let_be(tcp().await.unwrap(), b"P"),
        is_let_be(tcp().await.unwrap(), &hello),
        is_let_be(half, &[0]),
        is_let_be(no_one, b"x"),
        is_let_be(self_made, b"x"),
    );
    for (what, took) in [
        ("half a PROXY header", silent),
        ("a ClientHello in single bytes", hello),
        ("half a handshake", half),
        ("a header in single bytes", no_one),
        ("the same, with a certificate of his own making", self_made),
    ] {
        assert!(took < LONG, "{what}: let be for {took:?}");
    }
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut known = world.connect(APP, Some(certificate), &[HTTP_1_1]).await.unwrap();
    known.write_all(header.as_bytes()).await.unwrap();
    let closed = timeout(SHORT * 2, known.read(&mut [0; 64])).await;
    assert!(closed.is_err(), "whom we know may think between requests: {closed:?}");
}

impl World {
    /// A certificate that somebody has made himself, with our names in it.
    async fn strange(&self) -> CertificateChain {
        world().await.session("alice", "grafana", SESSION).await
    }

    async fn from(&self, source: [u8; 4], name: &str, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        let options = ClientOptions {
            trust: Trust::Roots(vec![self.hosts.certificate()]),
            certificate: None,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        };
        let config = client_config(options, &clock::Clock::system()).unwrap();
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let tcp = socket.connect(self.address).await?;
        TlsConnector::from(config).connect(name.to_owned().try_into().unwrap(), tcp).await
    }

    /// An ordinary request from this address; how long it took.
    async fn served(&self, source: [u8; 4]) -> Duration {
        let since = Instant::now();
        let asked = async {
            let mut stream = self.from(source, PROXY, &[HTTP_1_1]).await?;
            let request = format!("GET /readyz HTTP/1.1\r\nHost: {PROXY}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            Ok::<_, io::Error>(answer)
        };
        let answer = timeout(LONG, asked).await.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        since.elapsed()
    }
}

#[tokio::test]
async fn a_crowd_from_one_address_makes_room_for_others_at_every_door() {
    // Until the first byte, while hands are shaken, and while HTTP is spoken.
    let world = world_with(|config| {
        config.limits.waiting = 32;
        config.limits.handshakes = 8;
        config.limits.strangers = 8;
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(TcpStream::connect(world.address).await.unwrap());
    }
    assert!(world.served([127, 0, 0, 2]).await < LONG, "past those who say nothing");
    drop(crowd);

    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(world.from([127, 0, 0, 3], PROXY, &[b"h2"]).await.unwrap());
    }
    assert!(world.served([127, 0, 0, 2]).await < LONG, "past those who are silent over HTTP/2");
    let mut ended = 0;
    for stream in &mut idle {
        let mut rest = Vec::new();
        ended += usize::from(timeout(Duration::from_millis(100), stream.read_to_end(&mut rest)).await.is_ok());
    }
    assert!((1..8).contains(&ended), "one had to go, and not all of them: {ended}");
}

#[tokio::test]
async fn who_holds_a_certificate_of_ours_is_no_stranger() {
    let world = world_with(|config| config.limits.strangers = 1).await;
    let _agent = world.agent().await;
    let _stranger = world.from([127, 0, 0, 1], PROXY, &[b"h2"]).await.unwrap();
    let certificate = world.session("alice", "grafana", SESSION).await;
    for _ in 0..3 {
        let mut sender = world.http(APP, Some(certificate.clone())).await;
        let answer = timeout(LONG, sender.send_request(super::world::get(APP, "/x"))).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn invented_cookies_are_asked_about_a_few_at_a_time() {
    let world = world().await;
    let told = world.proxy.sessions.forgotten();
    let mut running = JoinSet::new();
    for number in 0..80 {
        let mut sender = world.http(APP, None).await;
        running.spawn(async move {
            let cookies = format!("__Host-grv_app_session=guess-{number}; __Host-grv_app_session_subject=x");
            let mut request = super::world::get(APP, "/x");
            request.headers_mut().insert("cookie", cookies.parse().unwrap());
            sender.send_request(request).await.unwrap().status()
        });
    }
    assert!(running.join_all().await.into_iter().all(|status| status == 302));
    let most = world.sessions.most_missed.load(Ordering::Relaxed);
    assert!((1..=GUESSES).contains(&most), "{most} at a time");
    assert!(!told.has_changed().unwrap(), "they wake what runs on others' sessions");
}

/// The first bytes of somebody who wants to speak with the auth service.
fn hello_to_auth() -> Vec<u8> {
    let options = ClientOptions {
        trust: Trust::Roots(Vec::new()),
        certificate: None,
        alpn: vec![crypto::tls::auth_alpn(CLUSTER)],
    };
    let config = client_config(options, &clock::Clock::system()).unwrap();
    let mut client = rustls::ClientConnection::new(config, "teleport.cluster.local".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_connection_that_the_auth_service_or_the_proxy_itself_is_about_to_leave_is_not_kept() {
    let leaves = async |is_stopped: bool| {
        let world = world().await;
        let mut client = TcpStream::connect(world.address).await.unwrap();
        client.write_all(&hello_to_auth()).await.unwrap();
        let (mut auth, _) = world.auth.accept().await.unwrap();
        auth.read_exact(&mut [0; 16]).await.unwrap();
        assert_eq!(world.proxy.metrics.open.get(), 1);
        match is_stopped {
            true => world.stop.soft(),
            false => auth.shutdown().await.unwrap(),
        }
        let since = Instant::now();
        while world.proxy.metrics.open.get() > 0 {
            assert!(since.elapsed() < LONG, "it is kept (is_stopped: {is_stopped})");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(client);
    };
    tokio::join!(leaves(true), leaves(false));
}

#[tokio::test]
async fn a_connection_upgrade_in_which_nothing_is_served_any_more_is_not_kept() {
    let world = world().await;
    let mut client = world.connect(PROXY, None, &[HTTP_1_1]).await.unwrap();
    let request = format!(
        "GET /webapi/connectionupgrade HTTP/1.1\r\nHost: {PROXY}\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 512];
    let length = client.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 101"));
    client.write_all(b"nothing that anybody serves").await.unwrap();
    let since = Instant::now();
    while world.proxy.tasks.running() > 0 {
        assert!(since.elapsed() < LONG, "it is kept though nothing is inside");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(client);
}

#[tokio::test]
async fn a_crowd_that_holds_connections_to_the_auth_service_makes_room() {
    let world = world_with(|config| config.limits.onward = 4).await;
    let hello = hello_to_auth();
    let dial = async |source: [u8; 4]| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let mut stream = socket.connect(world.address).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        stream
    };
    let accept = async || {
        let (stream, _) = world.auth.accept().await.unwrap();
        let (header, rest) = proxy_protocol::read(stream, Mode::On).await.unwrap();
        (header.unwrap().source.ip(), rest)
    };
    let (mut crowd, mut carried) = (Vec::new(), Vec::new());
    for number in 0..8 {
        crowd.push(dial([127, 0, 0, 3]).await);
        if number < 4 {
            carried.push(accept().await);
        }
    }
    assert!(timeout(Duration::from_millis(300), accept()).await.is_err(), "there are four places");
    let _other = dial([127, 0, 0, 2]).await;
    let found = timeout(LONG, async { while accept().await.0 != SocketAddr::from(([127, 0, 0, 2], 0)).ip() {} });
    assert!(found.await.is_ok(), "a crowd keeps others out");
}

#[tokio::test]
async fn nobody_waits_for_a_place_without_end() {
    let world = world_with(|config| {
        config.limits.onward = 1;
        config.limits.strangers = 1;
        config.limits.waiting_deadline = SHORT;
    })
    .await;
    // Those who are alike do not make room for each other.
    let source = [127, 0, 0, 3];
    let mut strangers = Vec::new();
    for _ in 0..2 {
        strangers.push(world.from(source, PROXY, &[b"h2"]).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut rest = Vec::new();
    assert!(timeout(LONG, strangers[1].read_to_end(&mut rest)).await.is_ok(), "a stranger");
    let mut onward = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(&hello_to_auth()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        onward.push(stream);
    }
    assert!(timeout(LONG, onward[1].read_to_end(&mut rest)).await.is_ok(), "to the auth service");
}
