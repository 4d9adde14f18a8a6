//! Ten thousand connections that do nothing.
//!
//! Their clients live in a process of their own (this test, run again), so that descriptors are enough and the memory that
//! is measured is the server's.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use api::methods::{Method, proto::auth_service::Ping};
use clock::Clock;
use crypto::{KeyPair, tls::CertificateChain, x509::Certificate};
use testkit::Cluster;
use tokio::io::AsyncWriteExt;

use crate::{
    hostile::PROMPT,
    support::{
        memory::{Alone, descriptors},
        people,
        raw::{self, Raw, code},
    },
};

/// As many as bots may stand idle on one server.
const WANTED: u64 = 10_000;

/// What one connection may cost the server, in a build without optimisation and beside the other tests of this process.
const EACH: u64 = 100_000;

/// How long they may take to connect, in a build without optimisation.
const CONNECTED_WITHIN: Duration = Duration::from_secs(300);

/// Says in the inner process where the server is, and where the certificate and its key are.
const SERVER: &str = "TESSERA_TEST_SERVER";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_leave_the_server_prompt() {
    let alone = Alone::here().await;
    let count = alone.connections(WANTED, 1);
    let cluster = Cluster::start().await;
    let person = people::user(&cluster.admin().await, "alice", &["access"], 600).await;
    let identity = tempfile::NamedTempFile::new().unwrap();
    let text = [person.certificate.to_pem(), person.key.to_pem().unwrap().expose().clone()].concat();
    fs::write(identity.path(), text).unwrap();
    let (before, since) = (alone.resident(), Instant::now());
    let mut crowd = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crowd::inner_crowd", "--ignored", "--nocapture"])
        .env(SERVER, format!("{} {count} {}", cluster.address(), identity.path().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(crowd.stdout.take().unwrap()).lines();
    let connected = tokio::task::spawn_blocking(move || {
        let said = |line: String| line.strip_prefix("connected ")?.trim().parse::<u64>().ok();
        (output.by_ref().map_while(Result::ok).find_map(said), output)
    });
    let Ok(connected) = Clock::system().timeout(CONNECTED_WITHIN, connected).await else {
        crowd.kill().unwrap();
        panic!("{count} clients are not connected after {CONNECTED_WITHIN:?}");
    };
    let (connected, output) = connected.unwrap();
    assert_eq!(connected, Some(count));
    let each = alone.resident().saturating_sub(before) / count;
    println!("{count} idle connections within {:?}, {} kB each", since.elapsed(), each / 1000);
    for source in [[127, 77, 0, 1], [127, 0, 0, 1]] {
        let since = Instant::now();
        let newcomer = Raw::over(raw::connect(cluster.address(), source, raw::tls(None)).await.unwrap()).await;
        assert!(newcomer.call(Ping::PATH, b"").await.is(code::OK));
        assert!(since.elapsed() < PROMPT, "Ping took {:?}", since.elapsed());
    }
    assert!(each < EACH, "{each} bytes for each connection");
    crowd.stdin.take().unwrap().write_all(b"enough\n").unwrap();
    assert!(crowd.wait().unwrap().success());
    drop(output);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs inside ten_thousand_idle_connections_leave_the_server_prompt"]
async fn inner_crowd() {
    let Some(server) = std::env::var_os(SERVER) else { return };
    let server = server.into_string().unwrap();
    let [address, count, identity] = server.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    let (address, count): (std::net::SocketAddr, usize) = (address.parse().unwrap(), count.parse().unwrap());
    let identity = fs::read_to_string(Path::new(identity)).unwrap();
    let (certificate, key) = identity.split_at(identity.find("-----BEGIN PRIVATE").unwrap());
    let key = KeyPair::from_pem(key).unwrap();
    let chain = CertificateChain::new(&[Certificate::from_pem(certificate).unwrap()], &key).unwrap();
    descriptors();
    let config = raw::tls(Some(chain));
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let wave = (0..64.min(count - idle.len())).map(|_| raw::connect(address, [127, 77, 0, 1], config.clone()));
        for stream in futures_util::future::join_all(wave).await {
            let mut stream = stream.unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            idle.push(stream);
        }
    }
    println!("\nconnected {}", idle.len());
    // Until the outer process has seen enough.
    let _ = std::io::stdin().read(&mut [0; 16]).unwrap();
}
