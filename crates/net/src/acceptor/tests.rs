#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

use clock::{ManualClock, Timestamp};
use crypto::tls::{ClientAuth, server_config};
use rustls::server::{ClientHello, ResolvesServerCert};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{ListenerOptions, tls::Fixed};

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }
}

/// An acceptor that runs, its address and its end.
fn start(limits: Limits, clock: &ManualClock) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerOptions::default()).unwrap();
    let config = server_config(Arc::new(NoCertificate), ClientAuth::None, &[], &clock.clock()).unwrap();
    let acceptor = Acceptor::new(listener, Fixed(config), limits, clock.clock());
    let (address, stop) = (acceptor.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(acceptor.run(stop.clone(), |_| async {}));
    (address, stop, task)
}

#[tokio::test]
async fn a_peer_that_dribbles_loses_its_place_at_the_deadline() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let (address, stop, task) = start(limits, &clock);
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&[22]).await.unwrap();
    clock.parked(1).await;
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // It waits for its turn, and looks now and then.
    clock.parked(3).await;
    clock.advance(Duration::from_secs(9));
    slow.write_all(&[3]).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(slow.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed at the deadline, not one byte later");
    // The one that waited has its turn now, and is told what it did wrong.
    let _ = next.write_all(b"\r\n").await;
    let answer = next.read(&mut [0; 8]).await;
    assert!(answer.is_err() || answer.is_ok_and(|length| length > 0), "an alert, or a reset; never silence");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_the_port_and_drops_those_who_wait() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let (address, stop, task) = start(Limits::default(), &clock);
    let mut waiting = TcpStream::connect(address).await.unwrap();
    clock.parked(1).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(waiting.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_is_silent_needs_no_place_and_is_dropped_at_the_deadline() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let (address, stop, task) = start(limits, &clock);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    clock.parked(50).await;
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let answer = next.read(&mut [0; 8]).await;
    assert!(answer.is_err() || answer.is_ok_and(|length| length > 0), "an alert, or a reset; never silence");
    clock.advance(Duration::from_secs(10));
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
    stop.cancel();
    task.await.unwrap();
}

/// Believes whoever speaks for this address.
struct Only(&'static str);

impl Sources for Only {
    fn is_believed(&self, header: &Header) -> bool {
        header.source.ip().to_string() == self.0
    }
}

#[tokio::test]
async fn nobody_shakes_hands_who_speaks_for_a_client_and_is_not_believed() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let block = |source: &str| {
        let (source, destination) = (source.parse().unwrap(), "192.0.2.80:3080".parse().unwrap());
        Header { source, destination, tlvs: Vec::new() }.to_v2().unwrap()
    };
    for (has_sources, begin, expect) in [
        (true, block("198.51.100.7:1"), true),
        (true, block("198.51.100.8:1"), false),
        (true, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), true),
        (true, Vec::new(), true),
        (true, b"\r\n\r\nsomething else that is long enough".to_vec(), false),
        (false, block("198.51.100.7:1"), false),
    ] {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerOptions::default()).unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let configure = move |_: &ClientHello<'_>| {
            let _ = told.send(());
            None
        };
        let mut acceptor = Acceptor::new(listener, configure, Limits::default(), clock.clock());
        if has_sources {
            acceptor = acceptor.believing(Arc::new(Only("198.51.100.7")));
        }
        let (address, stop) = (acceptor.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(acceptor.run(stop.clone(), |_| async {}));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&begin).await.unwrap();
        let trust = crypto::tls::Trust::DangerAnyServer;
        let options = crypto::tls::ClientOptions { trust, certificate: None, alpn: Vec::new() };
        let client = tokio_rustls::TlsConnector::from(crypto::tls::client_config(options, &clock.clock()).unwrap());
        assert!(client.connect("x.example".try_into().unwrap(), stream).await.is_err(), "nothing is served here");
        assert_eq!(heard.try_recv().is_ok(), expect, "{begin:?}");
        stop.cancel();
        task.await.unwrap();
    }
}
