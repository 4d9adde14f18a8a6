//! Very many connections that do nothing.

use std::time::{Duration, Instant};

use api::methods::{Method, proto::auth_service::Ping};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::Cluster;
use tokio::io::AsyncWriteExt;

use crate::support::{
    people,
    raw::{self, Raw, code},
};

/// As many as bots may stand idle on one server, descriptors permitting.
const WANTED: u64 = 10_000;

/// Descriptors that the other tests of this process need.
const OTHERS: u64 = 8_000;

/// What one connection may cost, both of its ends, in a build without optimisation.
const EACH: u64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_leave_the_server_prompt() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let count = limit.maximum.map_or(WANTED, |maximum| WANTED.min(maximum.saturating_sub(OTHERS) / 2));
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let person = people::user(&admin, "alice", &["access"], 600).await;
    let before = super::hostile::resident();
    let since = Instant::now();
    let config = raw::tls(Some(person.chain()));
    let mut idle = Vec::new();
    while (idle.len() as u64) < count {
        let wave = (0..64).map(|_| raw::connect(cluster.address(), [127, 77, 0, 1], config.clone()));
        for stream in futures_util::future::join_all(wave).await {
            let mut stream = stream.unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            idle.push(stream);
        }
    }
    let grown = super::hostile::resident().saturating_sub(before);
    println!("{} idle connections in {:?}, {} kB each", idle.len(), since.elapsed(), grown / 1000 / idle.len() as u64);
    for source in [[127, 77, 0, 1], [127, 0, 0, 1]] {
        let since = Instant::now();
        let newcomer = Raw::over(raw::connect(cluster.address(), source, raw::tls(None)).await.unwrap()).await;
        assert!(newcomer.call(Ping::PATH, b"").await.is(code::OK));
        assert!(since.elapsed() < Duration::from_secs(1), "Ping took {:?}", since.elapsed());
    }
    assert!(grown < idle.len() as u64 * EACH, "{} kB for each connection", grown / 1000 / idle.len() as u64);
    drop(idle);
    cluster.stop().await;
}
