//! What passes a tunnel and a forward proxy, and what is said when something does not.

use std::{sync::atomic::Ordering, time::Duration};

use app_access::{Door, Keyring};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::front::{NAME, PROXY, World, until};

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
    world.ask_until("by bot-2").await;
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
    for words in [
        format!("the connection to the proxy for {NAME} broke"),
        "between this machine and the proxy".into(),
        "nosniff".into(),
    ] {
        assert!(answer.contains(&words), "{words}: {answer}");
    }
    let id = answer.split("x-teleport-request-id: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap();
    assert!(id.len() == 16 && answer.ends_with(&format!("(request {id})\n")), "{answer}");
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
    let mut word = String::new();
    until(async || {
        word = hello().await;
        !word.is_empty()
    })
    .await;
    assert_eq!(word, "hello bot-2\n", "the refused one is shown until there is another");
    assert_eq!(hello().await, "hello bot-2\n", "an application that hangs up costs no session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_resets_its_connection_costs_no_session() {
    let world = World::new(Door::Tunnel("postgres".into())).await;
    for _ in 0..3 {
        let mut probe = TcpStream::connect(&world.local).await.unwrap();
        assert_eq!(probe.read_u8().await.unwrap(), b'h');
        probe.set_zero_linger().unwrap();
        drop(probe);
        // The reset is read before the next connection is made, and after what is waited between two certificates.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.time.advance(Duration::from_secs(60));
    }
    assert_eq!(world.issued.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_refused_again_and_again_is_replaced_less_and_less_often() {
    let world = World::new(tunnel()).await;
    world.front.refused.lock().unwrap().extend((1..20).map(|number| format!("bot-{number}")));
    for _ in 0..60 {
        let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        world.time.advance(Duration::from_secs(15));
    }
    let issued = world.issued.load(Ordering::SeqCst);
    assert!((5..=8).contains(&issued), "{issued} in a quarter of an hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_let_the_holder_in_is_shown_another_certificate() {
    let world = World::new(tunnel()).await;
    world.front.denied.lock().unwrap().push("bot-1".into());
    let answer = world.ask("GET /forged HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "the application's own words: {answer}");
    assert_eq!(world.issued.load(Ordering::SeqCst), 1);
    let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("by bot-2"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auth_service_that_says_nothing_holds_nobody_up_while_the_certificate_is_good() {
    let world = World::new(tunnel()).await;
    world.ask_until("by bot-1").await;
    world.is_silent.store(true, Ordering::SeqCst);
    world.time.advance(Duration::from_secs(1300));
    for _ in 0..3 {
        let answer = world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.expect("at once");
        assert!(answer.contains("by bot-1"), "{answer}");
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 2, "one attempt for all");
    world.is_silent.store(false, Ordering::SeqCst);
    world.time.parked(1).await;
    // The attempt is given up, and the next one waits for its time.
    world.time.advance(Duration::from_secs(16));
    until(async || world.ring.keep("grafana").await.is_ok()).await;
    world.ask_until("by bot-2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_come_is_said_in_time() {
    let world = World::patient(tunnel()).await;
    world.is_silent.store(true, Ordering::SeqCst);
    let (answer, ()) = tokio::join!(world.ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), async {
        // The attempt, and who waits for it.
        world.time.parked(2).await;
        world.time.advance(Duration::from_secs(11));
    });
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("between this machine and the auth service: no certificate"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_the_first_word_is_not_left_waiting() {
    let world = World::patient(Door::Tunnel("nosuch".into())).await;
    let mut client = TcpStream::connect(&world.local).await.unwrap();
    let mut word = [0; 1];
    let ended = world.time.pass_until(Duration::from_secs(3), client.read(&mut word)).await;
    assert_eq!(ended.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_certificates_are_made_anew_when_somebody_says_so() {
    let world = World::new(tunnel()).await;
    world.ask_until("by bot-1").await;
    world.ring.renew();
    world.ask_until("by bot-2").await;
    let next = world.ring.keep("grafana").await.unwrap();
    assert_eq!(next, Duration::from_secs(1200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_of_all_certificates_costs_no_more_of_them() {
    let world = World::new(tunnel()).await;
    world.ring.access("grafana").await.unwrap();
    world.time.set("2026-03-05T12:00:00Z".parse().unwrap());
    for _ in 0..3 {
        world.ring.access("grafana").await.unwrap();
    }
    assert_eq!(world.issued.load(Ordering::SeqCst), 1);
    world.time.advance(Duration::from_secs(3601));
    world.ring.access("grafana").await.unwrap();
    assert_eq!(world.issued.load(Ordering::SeqCst), 2, "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_lead_nowhere_are_asked_for_once_in_some_seconds() {
    let world = World::new(Door::Proxy).await;
    let ask = async || {
        let answer = world.ask("GET http://nosuch/ HTTP/1.1\r\nHost: nosuch\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        world.asked.load(Ordering::SeqCst)
    };
    assert_eq!((ask().await, ask().await), (1, 1));
    world.time.advance(Duration::from_secs(6));
    assert_eq!(ask().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_get_nothing_through_a_forward_proxy_but_from_their_own_application() {
    let world = World::new(Door::Proxy).await;
    for (request, status) in [
        ("POST http://grafana/ HTTP/1.1\r\nHost: grafana\r\nOrigin: http://evil.example\r\n", "403"),
        ("POST http://grafana/ HTTP/1.1\r\nHost: grafana\r\nOrigin: http://grafana\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: localhost:8080\r\n", "400"),
    ] {
        let answer = world.ask(&format!("{request}Content-Length: 0\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 1, "none for the listener's own address");
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
async fn a_balancer_with_a_certificate_of_the_cluster_is_passed() {
    let world = World::past_a_balancer(tunnel()).await;
    let answer = world.ask("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("GET /x HTTP/1.1 by bot-1"), "{answer}");
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
