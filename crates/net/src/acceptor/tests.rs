#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

use clock::{ManualClock, Timestamp};
use crypto::{
    KeyPair,
    tls::{CertificateChain, ClientAuth, ClientOptions, ServerCertificate, Trust, client_config, server_config},
    x509::Certificate,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_rustls::TlsConnector;

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
    fn counted(&self, header: &Header) -> Option<IpAddr> {
        let source = header.source.ip();
        (source.to_string() == self.0).then_some(source)
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
        let (told, mut heard) = mpsc::unbounded_channel();
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
        assert!(
            client(&clock).connect("x.example".try_into().unwrap(), stream).await.is_err(),
            "nothing is served here"
        );
        assert_eq!(heard.try_recv().is_ok(), expect, "{begin:?}");
        stop.cancel();
        task.await.unwrap();
    }
}

fn client(clock: &ManualClock) -> TlsConnector {
    let options = ClientOptions { trust: Trust::DangerAnyServer, certificate: None, alpn: Vec::new() };
    TlsConnector::from(client_config(options, &clock.clock()).unwrap())
}

/// Counts whom a field says, whatever the source.
struct Said;

impl Sources for Said {
    fn counted(&self, header: &Header) -> Option<IpAddr> {
        std::str::from_utf8(&header.tlvs.first()?.value).ok()?.parse().ok()
    }
}

/// What a proxy begins with that speaks for a client at `source`, and says to count `counted`.
fn block(source: &str, counted: &str) -> Vec<u8> {
    let tlvs = vec![proxy_protocol::Tlv { kind: 0xE6, value: counted.into() }];
    let destination = "192.0.2.80:3080".parse().unwrap();
    Header { source: format!("{source}:1").parse().unwrap(), destination, tlvs }.to_v2().unwrap()
}

/// Who is served of strangers who come through one proxy, one after the other, each with his source and whom to count,
/// before the first has lost his place to a deadline.
async fn served(limits: Limits, strangers: &[(&str, &str)]) -> Vec<String> {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = KeyPair::from_pkcs8_der(&key.serialize_der()).unwrap();
    let chain = CertificateChain::new(&[Certificate::from_der(own.der()).unwrap()], &key).unwrap();
    let config = server_config(ServerCertificate::new(chain), ClientAuth::None, &[], &clock.clock()).unwrap();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerOptions::default()).unwrap();
    let acceptor = Acceptor::new(listener, Fixed(config), limits, clock.clock()).believing(Arc::new(Said));
    let (address, stop) = (acceptor.local_addr().unwrap(), CancellationToken::new());
    let (told, mut heard) = mpsc::unbounded_channel();
    let task = tokio::spawn(acceptor.run(stop.clone(), move |accepted| {
        let _ = told.send(accepted.peer.ip().to_string());
        async move {
            let _held = accepted;
            std::future::pending().await
        }
    }));
    let mut streams = Vec::new();
    for (source, counted) in strangers {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&block(source, counted)).await.unwrap();
        streams.push(client(&clock).connect("x.example".try_into().unwrap(), stream).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..30 {
        clock.advance(Duration::from_millis(250));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    task.abort();
    std::iter::from_fn(|| heard.try_recv().ok()).collect()
}

const ONE: &str = "198.51.100.1";
const TWO: &str = "198.51.100.2";
const OTHER: &str = "203.0.113.9";

#[tokio::test]
async fn all_who_come_through_one_proxy_are_not_one_crowd() {
    let few = Limits { strangers: 2, ..Limits::default() };
    assert_eq!(served(few, &[(ONE, ONE), (ONE, ONE), (TWO, TWO)]).await, [ONE, ONE, TWO]);
    let one_each = Limits { strangers_per_address: Some(1), ..Limits::default() };
    assert_eq!(served(one_each, &[(ONE, ONE), (ONE, ONE), (TWO, TWO)]).await, [ONE, TWO]);
}

#[tokio::test]
async fn whoever_claims_many_addresses_is_one_crowd() {
    let few = Limits { strangers: 2, ..Limits::default() };
    assert_eq!(served(few, &[(ONE, OTHER), (TWO, OTHER), (ONE, ONE)]).await, [ONE, TWO, ONE]);
    assert_eq!(served(few, &[(ONE, OTHER), (TWO, OTHER), ("198.51.100.3", OTHER)]).await, [ONE, TWO]);
    let one_each = Limits { strangers_per_address: Some(1), ..Limits::default() };
    assert_eq!(served(one_each, &[(ONE, OTHER), (TWO, OTHER), (TWO, TWO)]).await, [ONE, TWO]);
}

#[tokio::test]
async fn a_handshake_that_is_let_be_makes_room_for_another_client_of_the_same_proxy() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), ListenerOptions::default()).unwrap();
    let config = server_config(Arc::new(NoCertificate), ClientAuth::None, &[], &clock.clock()).unwrap();
    let limits = Limits { handshakes: 2, ..Limits::default() };
    let acceptor = Acceptor::new(listener, Fixed(config), limits, clock.clock()).believing(Arc::new(Said));
    let (address, stop) = (acceptor.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(acceptor.run(stop.clone(), |_| async {}));
    let begun = async |source: &str, bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[&block(source, source), bytes].concat()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream
    };
    let _dribbling = [begun(ONE, &[22]).await, begun(ONE, &[22]).await];
    let mut next = begun(TWO, b"GET / HTTP/1.1\r\n\r\n").await;
    // Far less than the deadline of the others.
    for _ in 0..20 {
        clock.advance(Duration::from_millis(250));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = tokio::time::timeout(Duration::from_secs(1), next.read(&mut [0; 8])).await;
    assert!(answer.is_ok(), "it waits behind the crowd of another client");
    stop.cancel();
    task.await.unwrap();
}
