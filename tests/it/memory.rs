//! What a peer may make the server hold before anybody knows who it is.

use std::time::Duration;

use api::methods::{
    Method,
    proto::{auth_service::Ping, join_service::RegisterUsingToken},
};
use bytes::Bytes;
use testkit::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::raw::{self, Raw, code, framed};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_makes_the_server_hold_megabytes() {
    let cluster = Cluster::start().await;
    let stranger = Raw::stranger(cluster.address()).await;
    let begun = |bytes: usize| Bytes::from([&framed(&vec![0; bytes], false)[..5], &[0; 100]].concat());
    for path in [RegisterUsingToken::PATH, Ping::PATH] {
        let answer = stranger.send(path, begun((64 << 10) + 1), &[]).await.unwrap();
        assert!(answer.is(code::RESOURCE_EXHAUSTED), "{path}: {answer:?}");
    }
    cluster.stop().await;
}

/// The value of a setting in the server's first frame.
fn setting(frame: &[u8], wanted: u16) -> Option<u32> {
    let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
    frame[9..9 + length].chunks(6).find_map(|entry| {
        let (id, value) = entry.split_at(2);
        (id == wanted.to_be_bytes()).then(|| u32::from_be_bytes(value.try_into().unwrap()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_as_many_streams_as_a_bot() {
    let cluster = Cluster::start().await;
    let mut stream = raw::connect(cluster.address(), [127, 0, 0, 1], raw::tls(None)).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream.flush().await.unwrap();
    let mut frame = vec![0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    let mut settings = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
    stream.read_exact(&mut settings).await.unwrap();
    frame.extend(settings);
    let (streams, window) = (setting(&frame, 3), setting(&frame, 4));
    assert!(streams.is_some_and(|streams| streams <= 16), "MAX_CONCURRENT_STREAMS: {streams:?}");
    assert!(window.is_some_and(|window| window <= 256 << 10), "INITIAL_WINDOW_SIZE: {window:?}");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(10), cluster.stop()).await.unwrap();
}
