//! What a peer may make the server hold: before anybody knows who it is, and with requests that it never ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{
    r#gen::{proto::Watch, types::WatchKind},
    methods::{
        Method,
        proto::{
            auth_service::{CreateRole, Ping, WatchEvents},
            join_service::RegisterUsingToken,
        },
        teleport::users::v1::users_service::CreateUser,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use testkit::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    hostile::gzip,
    support::{
        memory::Alone,
        people,
        raw::{self, Raw, code, framed},
    },
};

/// A message that is compressed.
const GZIPPED: &[(&str, &str)] = &[("grpc-encoding", "gzip")];

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

/// A request of 4 MiB that lacks its last bytes, and nothing after it. All of its pieces are one and the same memory.
async fn unfinished(address: SocketAddr, tls: Arc<rustls::ClientConfig>, count: usize) -> Vec<Option<i32>> {
    const LENGTH: u32 = 4 << 20;
    static ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    let connection = raw::connect(address, [127, 0, 0, 1], tls).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await.unwrap();
    tokio::spawn(connection);
    let calls = (0..count).map(|_| {
        let prefix = Bytes::from([&[0][..], &LENGTH.to_be_bytes()].concat());
        let pieces = std::iter::repeat_n(Bytes::from_static(&ZEROS), (LENGTH as usize / ZEROS.len()) - 1);
        let pieces = std::iter::once(prefix).chain(pieces).map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
        let body = StreamBody::new(stream::iter(pieces.collect::<Vec<_>>()).chain(stream::pending()));
        let request = http::Request::post(format!("https://a{}", CreateRole::PATH))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let mut sender = sender.clone();
        async move {
            sender.ready().await.ok()?;
            let answer =
                tokio::time::timeout(Duration::from_secs(10), sender.send_request(request)).await.ok()?.ok()?;
            answer.headers().get("grpc-status")?.to_str().ok()?.parse().ok()
        }
    });
    join_all(calls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_makes_the_server_hold_a_gigabyte() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let (eve, bob) =
        (people::user(&admin, "eve", &["editor"], 600).await, people::user(&admin, "bob", &["editor"], 600).await);
    let neighbour = Raw::with(cluster.address(), bob.chain()).await;
    let before = alone.resident();
    // The answers are listened to for ten seconds; what was not refused then is held.
    let attack = join_all((0..6).map(|_| unfinished(cluster.address(), raw::tls(Some(eve.chain())), 40)));
    let watch = async {
        let mut most = 0;
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            most = most.max(alone.resident().saturating_sub(before));
            assert!(neighbour.call(Ping::PATH, b"").await.is(code::OK));
        }
        most
    };
    let (answers, most) = tokio::join!(attack, watch);
    println!("240 unfinished requests of 4 MiB: {} MiB more", most >> 20);
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let refused = answers.iter().filter(|answer| **answer == Some(code::RESOURCE_EXHAUSTED)).count();
    let held = answers.iter().filter(|answer| answer.is_none()).count();
    assert!(refused >= 200 && held >= 2 && refused + held == 240, "{refused} refused, {held} held");
    assert!(most < 160 << 20, "{} MiB more", most >> 20);
    // It ends with its connections, and nobody else was ever in the way.
    let large = framed(&vec![0; (4 << 20) - 64], false);
    assert!(!neighbour.send(CreateRole::PATH, large.clone(), &[]).await.unwrap().is(code::RESOURCE_EXHAUSTED));
    let again = Raw::with(cluster.address(), eve.chain()).await;
    let mut answer = again.send(CreateRole::PATH, large.clone(), &[]).await.unwrap();
    for _ in 0..50 {
        if !answer.is(code::RESOURCE_EXHAUSTED) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = again.send(CreateRole::PATH, large.clone(), &[]).await.unwrap();
    }
    assert!(!answer.is(code::RESOURCE_EXHAUSTED), "{answer:?}");
    cluster.stop().await;
}

/// A field of a message that is a message itself.
fn nested(field: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    prost::encoding::encode_varint(message.len() as u64, &mut bytes);
    bytes.extend(message);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn four_kilobytes_of_gzip_become_a_gigabyte_of_elements() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let eve = people::user(&admin, "eve", &["access"], 600).await;
    // A user with two million empty identities at OIDC providers.
    let identities = [0x0a, 0].repeat((4 << 19) - 32);
    let bomb = framed(&gzip(&nested(1, &nested(5, &identities))), true);
    assert!(bomb.len() < 8 << 10, "{} bytes", bomb.len());
    let connections = join_all((0..4).map(|_| Raw::with(cluster.address(), eve.chain()))).await;
    let (before, mut most) = (alone.resident(), 0);
    let attacks = connections.iter().flat_map(|connection| (0..20).map(move |_| connection));
    let attack = join_all(attacks.map(|connection| connection.send(CreateUser::PATH, bomb.clone(), GZIPPED)));
    let mut attack = std::pin::pin!(attack);
    let answers = loop {
        tokio::select! {
            answers = &mut attack => break answers,
            () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(alone.resident().saturating_sub(before)),
        }
    };
    println!("80 gzipped requests with two million elements: {} MiB more", most >> 20);
    assert!(answers.iter().flatten().all(|answer| answer.is(code::RESOURCE_EXHAUSTED)), "{answers:?}");
    assert!(most < 192 << 20, "{} MiB more", most >> 20);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_of_a_connection_is_a_watch() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let eve = people::user(&admin, "eve", &["access"], 600).await;
    let connection = Raw::with(cluster.address(), eve.chain()).await;
    let kinds = vec![WatchKind { kind: "cert_authority".into(), ..Default::default() }];
    let watch = Watch { kinds, allow_partial_success: false }.encode_to_vec();
    let answers = join_all((0..20).map(|_| connection.call(WatchEvents::PATH, &watch))).await;
    let refused = answers.iter().filter(|answer| answer.is(code::RESOURCE_EXHAUSTED)).count();
    let running = answers.iter().filter(|answer| answer.code.is_none() && !answer.data.is_empty()).count();
    assert_eq!((running, refused), (16, 4), "{answers:?}");
    // Each that ends makes room, once the server has heard of its end.
    let mut again = connection.call(WatchEvents::PATH, &watch).await;
    for _ in 0..50 {
        if again.code.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        again = connection.call(WatchEvents::PATH, &watch).await;
    }
    assert!(again.code.is_none() && !again.data.is_empty(), "{again:?}");
    cluster.stop().await;
}
