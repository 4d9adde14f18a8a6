//! What passes a tunnel and a forward proxy, and what is said when something does not.

use std::{sync::atomic::Ordering, time::Duration};

use app_access::Door;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::front::{NAME, PROXY, World};

fn tunnel() -> Door {
    Door::Tunnel("grafana".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_arrives_with_the_certificate_and_the_applications_own_name() {
    let world = World::new(tunnel()).await;
    let answer = world
        .ask(
            "GET /api/users?a=b HTTP/1.1\r\nHost: localhost:1234\r\nAuthorization: Basic eDp5\r\nConnection: close, x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: 5\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let port = world.front.address.port();
    for words in ["GET /api/users?a=b HTTP/1.1 by bot-1", &format!("host: {NAME}:{port}"), "authorization: Basic eDp5"]
    {
        assert!(answer.contains(words), "{words}\n{answer}");
    }
    assert!(!answer.contains("x-hop") && !answer.contains("keep-alive: 5"), "{answer}");
    let answer =
        world.ask("POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    assert!(answer.contains("body: abc"), "{answer}");
    assert_eq!(world.issued.load(Ordering::SeqCst), 1, "one certificate serves all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_does_not_end_what_runs() {
    let world = World::new(tunnel()).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
    let mut running = TcpStream::connect(&world.local).await.unwrap();
    running.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(running.read_u8().await.unwrap());
    }
    assert!(String::from_utf8_lossy(&head).starts_with("HTTP/1.1 101"));
    world.time.advance(Duration::from_secs(1300));
    let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("by bot-2"), "{answer}");
    running.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    running.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"PING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_seen_only_where_a_repetition_could_do_harm() {
    let world = World::new(tunnel()).await;
    world.front.breaks.store(2, Ordering::SeqCst);
    let answer = world.ask("GET /g HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("GET /g HTTP/1.1 by bot-1"), "{answer}");
    world.front.breaks.store(1, Ordering::SeqCst);
    let answer = world.ask("POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\na").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains(&format!("the connection to the proxy for {NAME} broke")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_taken_any_more_is_replaced() {
    let world = World::new(tunnel()).await;
    world.front.refused.lock().unwrap().push("bot-1".into());
    let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("by bot-2"), "{answer}");
    world.front.refused.lock().unwrap().push("bot-2".into());
    let answer = world.ask("GET /forged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 302"), "the application's own words: {answer}");
    for method in ["GET", "POST"] {
        let answer = world.ask(&format!("{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        let is_told = answer.starts_with("HTTP/1.1 403") && answer.contains("does not take the certificate");
        assert!(is_told, "no login page for a program: {answer}");
    }
    assert_eq!(world.issued.load(Ordering::SeqCst), 2, "not one for each request that is refused");
    world.time.advance(Duration::from_secs(16));
    let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("by bot-3"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_has_ended_does_not_end_a_tunnel_to_a_tcp_application() {
    let world = World::new(Door::Tunnel("postgres".into())).await;
    world.front.refused.lock().unwrap().push("bot-1".into());
    let hello = async || {
        let mut stream = TcpStream::connect(&world.local).await.unwrap();
        let mut hello = String::new();
        stream.shutdown().await.unwrap();
        stream.read_to_string(&mut hello).await.unwrap();
        hello
    };
    assert_eq!(hello().await, "");
    assert_eq!(hello().await, "hello bot-2\n");
    assert_eq!(hello().await, "hello bot-2\n", "an application that hangs up costs no session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_are_not_answered() {
    let world = World::new(tunnel()).await;
    for (host, lines) in [
        ("evil.example", ""),
        ("localhost", "Origin: https://evil.example\r\n"),
        ("localhost", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
    ] {
        let answer = world.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("this machine"), "{host} {lines}: {answer}");
    }
    let answer = world.ask(&format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("by bot-1"), "the application's own name: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_what_was_upgraded() {
    let mut world = World::new(tunnel()).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n";
    let mut running = TcpStream::connect(&world.local).await.unwrap();
    running.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(running.read_u8().await.unwrap());
    }
    world.stop.soft();
    tokio::task::yield_now().await;
    running.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    running.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"PING");
    assert!(!world.serving.is_finished());
    world.stop.hard();
    (&mut world.serving).await.unwrap();
    assert_eq!(running.read(&mut word).await.unwrap_or(0), 0, "what is left is cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_to_a_tcp_application_carries_bytes() {
    let world = World::new(Door::Tunnel("postgres".into())).await;
    let mut stream = TcpStream::connect(&world.local).await.unwrap();
    let mut hello = [0; 12];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello bot-1\n");
    stream.write_all(b"\0\x01\xff").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"\0\x01\xff");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_whose_certificate_names_it_and_not_the_application_is_known_all_the_same() {
    for (name, says) in [
        (PROXY, "GET /x HTTP/1.1 by bot-1"),
        ("elsewhere.example", "is for elsewhere.example and not for grafana.proxy.example"),
    ] {
        let world = World::behind(tunnel(), name).await;
        let answer = world.ask("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains(says), "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forward_proxy_leads_where_the_host_says() {
    let world = World::new(Door::Proxy).await;
    for (request, words) in [
        (
            "GET http://grafana/x?y HTTP/1.1\r\nHost: other\r\nProxy-Connection: keep-alive\r\n",
            "GET /x?y HTTP/1.1 by bot-1",
        ),
        ("GET /x HTTP/1.1\r\nHost: grafana:80\r\n", "GET /x HTTP/1.1 by bot-1"),
        ("GET http://Grafana/x HTTP/1.1\r\nHost: Grafana\r\n", "GET /x HTTP/1.1 by bot-1"),
        ("GET /x HTTP/1.1\r\nHost: GRAFANA:80\r\n", "GET /x HTTP/1.1 by bot-1"),
        ("GET http://nosuch/ HTTP/1.1\r\nHost: nosuch\r\n", "application \"nosuch\" not found"),
        ("GET http://postgres/ HTTP/1.1\r\nHost: postgres\r\n", "speaks no HTTP"),
        ("CONNECT grafana:443 HTTP/1.1\r\nHost: grafana:443\r\n", "by http:// only"),
    ] {
        let answer = world.ask(&format!("{request}Connection: close\r\n\r\n")).await;
        assert!(answer.contains(words), "{request}{answer}");
        assert!(!answer.contains("proxy-connection"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_stopped_ends_idle_connections_and_frees_its_port() {
    let world = World::new(tunnel()).await;
    let mut idle = TcpStream::connect(&world.local).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    world.stop.soft();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    for _ in 0..100 {
        if TcpStream::connect(&world.local).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still listening");
}
