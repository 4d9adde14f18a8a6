//! What is done while somebody is silent, slow or away.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use app_access::{Door, Keyring};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::front::{World, until, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn tunnel() -> Door {
    Door::Tunnel("grafana".into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_certificate_is_shown_until_there_is_another() {
    let world = World::new(tunnel()).await;
    world.ask_until("by bot-1").await;
    world.is_silent.store(true, Ordering::SeqCst);
    world.front.denied.lock().unwrap().push("bot-1".into());
    let answer = world.ask(&GET.replace("GET", "POST")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    world.front.denied.lock().unwrap().clear();
    let answer = tokio::time::timeout(Duration::from_secs(5), world.ask(GET)).await.expect("at once");
    assert!(answer.contains("by bot-1"), "{answer}");
    world.is_silent.store(false, Ordering::SeqCst);
    world.time.parked(1).await;
    world.time.advance(Duration::from_secs(16));
    // The attempt is given up.
    drop(world.ring.keep("grafana").await);
    // Whoever is refused is not left waiting as long as somebody whose certificate is taken.
    world.time.advance(Duration::from_secs(6));
    world.ask_until("by bot-2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_may_not_dial_says_nothing_about_the_certificate() {
    let world = World::new(tunnel()).await;
    for _ in 0..2 {
        let answer = world.ask(&GET.replace("GET /", "GET /not-dialled")).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_while_a_certificate_is_on_its_way_brings_a_newer_one() {
    let world = World::new(tunnel()).await;
    let held = world.gate.lock().await;
    let ring = Arc::clone(&world.ring);
    let first = tokio::spawn(async move { ring.access("grafana").await.map(drop) });
    until(async || world.asked.load(Ordering::SeqCst) > 0).await;
    world.ring.renew();
    drop(held);
    first.await.unwrap().unwrap();
    world.ask_until("by bot-2").await;
    let next = world.ring.keep("grafana").await.unwrap();
    assert_eq!(next, Duration::from_secs(1200), "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_says_nothing_is_waited_for_once() {
    let world = World::patient(tunnel()).await;
    world.ring.access("grafana").await.unwrap();
    world.front.is_silent.store(true, Ordering::SeqCst);
    let mut asking = pin!(world.ask(GET));
    // No time passes before the proxy is dialled.
    tokio::select! {
        answer = &mut asking => panic!("{answer}"),
        () = until(async || world.front.taken.load(Ordering::SeqCst) > 0) => {}
    }
    let answer = world.time.pass_until(Duration::from_secs(1), asking).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(world.front.taken.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_waits_for_a_certificate_once() {
    let world = World::patient(tunnel()).await;
    world.is_silent.store(true, Ordering::SeqCst);
    let mut stream = TcpStream::connect(&world.local).await.unwrap();
    stream.write_all(format!("{}{GET}", GET.replace("close", "keep-alive")).as_bytes()).await.unwrap();
    // The attempt, and who waits for it: the connection.
    world.time.parked(2).await;
    world.time.advance(Duration::from_secs(11));
    let mut answers = Vec::new();
    while !answers.ends_with(b")\n") {
        answers.push(within(stream.read_u8()).await.expect("the first request does not wait again"));
    }
    // The second request, as long as the attempt has left: a third wait would begin another. Whatever sleeps besides is not
    // counted, and there are two seconds for the request to come before the attempt is given up.
    let rest = world.time.pass_until(Duration::from_millis(10), stream.read_to_end(&mut answers));
    rest.await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("no certificate").count(), 2, "{answers}");
    assert_eq!(world.asked.load(Ordering::SeqCst), 1, "{answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_cannot_decide_now_is_asked_again_where_that_is_safe() {
    let world = World::new(tunnel()).await;
    for (request, undecided, expect) in [
        (GET.to_owned(), 2, "200"),
        (GET.replace("GET", "POST"), 1, "503"),
        (GET.replace("GET /", "GET /own"), 1, "503"),
        (GET.to_owned(), 9, "503"),
    ] {
        world.front.undecided.store(undecided, Ordering::SeqCst);
        let answer = world.ask(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{request}: {answer}");
    }
}
