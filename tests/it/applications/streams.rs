//! What flows through the path: bodies of any size both ways, events, WebSockets, gRPC, bytes; and who stops it.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

use super::{
    app::{self, CHUNK},
    kit::{Body, Kit, empty, host, text, until},
};
use crate::support::people;

const MEGABYTE: usize = 1024 * 1024;

/// More than all buffers and windows on the way together, in one direction.
const ON_THE_WAY: usize = 24 * MEGABYTE;

/// A body of so many chunks, made as it is taken; `made` counts.
fn upload(chunks: usize, made: mpsc::UnboundedSender<usize>) -> Body {
    let chunks = stream::iter(0..chunks).map(move |_| {
        let _ = made.send(CHUNK);
        Ok(Frame::data(Bytes::from_static(&[1; CHUNK])))
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn counted(mut made: mpsc::UnboundedReceiver<usize>) -> usize {
    let mut sum = 0;
    while let Ok(bytes) = made.try_recv() {
        sum += bytes;
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_size_stream_both_ways_and_nobody_holds_them() {
    let (address, seen) = app::start().await;
    let kit =
        Kit::start(&format!("  apps:\n  - {{name: hello, uri: 'http://{address}', labels: {{env: dev}}}}\n")).await;
    let person = kit.reached("hello").await;
    let mut line = kit.line("hello", &person).await;
    let mut line2 = kit.line2("hello", &person).await;
    let url = |path: &str| format!("https://{}{path}", host("hello"));

    let mut length = 0;
    let mut huge = line.ask("/huge?100").await.into_body();
    while let Some(frame) = huge.frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(length, 100 * MEGABYTE);
    let (made, _count) = mpsc::unbounded_channel();
    let request = line.request("POST", "/count").body(upload(100 * MEGABYTE / CHUNK, made.clone())).unwrap();
    assert!(line.send(request).await.map(|answer| answer.status() == StatusCode::OK).unwrap());
    assert_eq!(seen.read.load(Ordering::Relaxed), 100 * MEGABYTE);
    let request = Request::post(url("/count")).body(upload(16 * MEGABYTE / CHUNK, made)).unwrap();
    assert_eq!(text(line2.send_request(request).await.unwrap()).await, (16 * MEGABYTE).to_string());

    // A client that does not read holds the application up, not us.
    let before = seen.made.load(Ordering::Relaxed);
    let unread = kit.line("hello", &person).await.ask("/huge?300").await;
    let request = Request::get(url("/huge?300")).body(empty()).unwrap();
    let unread2 = line2.send_request(request).await.unwrap();
    // And an application that does not read holds the client up.
    let (made, count) = mpsc::unbounded_channel();
    let mut slow = kit.line("hello", &person).await;
    let request = slow.request("POST", "/ignore").body(upload(300 * MEGABYTE / CHUNK, made)).unwrap();
    let ignored = tokio::spawn(async move { slow.send(request).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let made = seen.made.load(Ordering::Relaxed) - before;
    assert!(made < 2 * ON_THE_WAY, "{made} bytes are on their way to clients that do not read");
    let made = counted(count);
    assert!(made < ON_THE_WAY, "{made} bytes are on their way to an application that does not read");
    ignored.abort();
    drop((unread, unread2));

    // Who goes away is noticed by the application.
    let events = kit.line("hello", &person).await.events().await;
    assert!(!seen.is_given_up.load(Ordering::Relaxed));
    drop(events);
    until("the application hears that the client went away", async || {
        seen.is_given_up.load(Ordering::Relaxed).then_some(())
    })
    .await;
    seen.is_given_up.store(false, Ordering::Relaxed);
    let request = Request::get(url("/events")).body(empty()).unwrap();
    let mut events = line2.send_request(request).await.unwrap().into_body();
    assert!(events.frame().await.unwrap().is_ok());
    drop(events);
    until("the same over HTTP/2", async || seen.is_given_up.load(Ordering::Relaxed).then_some(())).await;
    kit.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_grpc_and_tcp_keep_their_ends() {
    let (address, _) = app::start().await;
    let (one, two) = (app::tcp().await, app::tcp().await);
    let kit = Kit::start(&format!(
        "  apps:
  - {{name: hello, uri: 'http://{address}', labels: {{env: dev}}}}
  - {{name: db, uri: 'tcp://127.0.0.1', labels: {{env: dev}}, tcp_ports: [{{port: {}}}, {{port: {}, end_port: {}}}]}}
",
        one.port(),
        two.port() - 1,
        two.port()
    ))
    .await;
    let person = kit.reached("hello").await;

    // One side ends its half, and still hears the other.
    let mut line = kit.line("hello", &person).await;
    let request = line.request("GET", "/socket").header("connection", "upgrade").header("upgrade", "websocket");
    let answer = line.send(request.body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut socket = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    exchange(&mut socket).await;

    for port in [0, one.port(), two.port()] {
        let person = kit.routed_for("db", 600, port).await;
        let mut stream = kit.tls(&host("db"), Some(&person), b"teleport-tcp").await;
        exchange(&mut stream).await;
    }
    let refused = kit.certificates(&kit.client, "alice", "db", &people::key(), (600, 1)).await.unwrap_err();
    assert!(refused.message.contains("app \"db\" has no port 1"), "{refused}");

    // Each message comes back before the next one is sent, and the trailers after the last.
    let mut line = kit.line2("hello", &person).await;
    let (say, said) = mpsc::unbounded_channel::<Bytes>();
    let body = stream::unfold(said, |mut said| async move { Some((Ok(Frame::data(said.recv().await?)), said)) });
    let request = Request::post(format!("https://{}/echo.Echo/Say", host("hello")))
        .header(header::CONTENT_TYPE, "application/grpc+proto")
        .header(header::TE, "trailers");
    let request = request.body(StreamBody::new(body).boxed_unsync()).unwrap();
    say.send(Bytes::from_static(b"\0\0\0\0\x01a")).unwrap();
    let mut answer = line.send_request(request).await.unwrap();
    for next in [Some(b"\0\0\0\0\x01b"), None] {
        let data = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data.len(), 6);
        if let Some(next) = next {
            say.send(Bytes::from_static(next)).unwrap();
        }
    }
    drop(say);
    let trailers = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"0".parse().unwrap(), &"said".parse().unwrap())
    );
    kit.cluster.stop().await;
}

/// Says something, hears it, ends its own half, and hears the farewell.
async fn exchange(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) {
    let mut back = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_many_requests_at_a_time_waits_for_its_turn() {
    let (address, seen) = app::start().await;
    let kit =
        Kit::start(&format!("  apps:\n  - {{name: hello, uri: 'http://{address}', labels: {{env: dev}}}}\n")).await;
    let person = kit.reached("hello").await;
    let line = kit.line2("hello", &person).await;
    let before = seen.asked.load(Ordering::Relaxed);
    let asked = (0..300).map(|_| {
        let mut line = line.clone();
        let request = Request::get(format!("https://{}/slow", host("hello"))).body(empty()).unwrap();
        async move { line.send_request(request).await.map(|answer| answer.status()) }
    });
    let all = tokio::spawn(join_all(asked));
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let at_a_time = seen.asked.load(Ordering::Relaxed) - before;
    assert!(at_a_time <= 256, "{at_a_time} at a time");
    assert!(all.await.unwrap().into_iter().all(|status| status.is_ok_and(|status| status == StatusCode::OK)));
    kit.cluster.stop().await;
}
