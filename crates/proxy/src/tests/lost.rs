//! Agents that are gone, and other proxies that cannot be reached.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clock::Clock;
use http::StatusCode;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tunnel::Open;

use super::world::{APP, Authority, SESSION, get, server, text, world};
use crate::applications::places::Holder;

/// Far beyond what anything here takes, also where other tests run beside this one.
const LONG: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_proxy_that_does_not_answer_keeps_nobody_from_an_agent_that_is_back() {
    let mut world = world().await;
    world.meet_another_proxy().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.proxy.peers.set([("f00d".to_owned(), silent.local_addr().unwrap().to_string())].into());
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let asked = tokio::spawn(async move { sender.send_request(get(APP, "/back")).await.unwrap() });
    let _dialled: TcpStream = silent.accept().await.unwrap().0;
    let _agent = world.agent().await;
    let back = Clock::system().monotonic();
    let response = timeout(LONG, asked).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let took = Clock::system().monotonic() - back;
    assert!(took < Duration::from_secs(2), "it has waited for the other proxy: {took:?}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_dialled_once_for_all_who_need_it() {
    let mut world = world().await;
    world.meet_another_proxy().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.proxy.peers.set([("f00d".to_owned(), listener.local_addr().unwrap().to_string())].into());
    let dialled = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&dialled);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(stream);
        }
    });
    let (proxy, server) = (&world.proxy, world.proxy.view.servers_of("grafana").remove(0));
    let alice = Holder::user("alice");
    let open = || proxy.peers.open(proxy, &server, &alice, Open::service(tunnel::APPLICATIONS));
    let (first, second, third) = tokio::join!(open(), open(), open());
    for opened in [first, second, third, open().await] {
        assert!(matches!(opened, Err(tunnel::OpenError::NotConnected(_))));
    }
    assert_eq!(dialled.load(Ordering::Relaxed), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    drop(open().await);
    assert_eq!(dialled.load(Ordering::Relaxed), 2, "it may be back");
}

#[tokio::test]
async fn an_agent_that_takes_nothing_is_not_said_to_be_none() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    // Each connection ends before it has carried anything.
    drop(world.proxy.tasks.guard());
    let response = timeout(LONG, sender.send_request(get(APP, "/"))).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let page = text(response).await;
    assert!(page.contains("no connection to the agent took the request"), "{page}");
}

#[tokio::test]
async fn an_agent_that_does_not_take_the_certificate_keeps_nobody_from_another() {
    let world = world().await;
    let _agent = world.agent().await;
    let _other = world.agent_for(&Authority::new(3).await, "other-agent", world.address).await;
    world.proxy.view.put_server(&server("other-agent", &[]));
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    // Each begins with another agent.
    for _ in 0..6 {
        let response = timeout(LONG, sender.send_request(get(APP, "/"))).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(response).await.contains("alice"));
    }
}
