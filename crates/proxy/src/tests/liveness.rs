use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use domain::Error;
use http::{StatusCode, header::LOCATION};

use super::world::{APP, SESSION, get, text, world};

#[tokio::test]
async fn a_silent_auth_service_delays_nobody_for_long_and_no_queue_forms_behind_it() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate.clone())).await;
    assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::OK);
    tokio::time::sleep(crate::sessions::BELIEVED).await;
    let mut senders = Vec::new();
    for _ in 0..8 {
        senders.push(world.http(APP, Some(certificate.clone())).await);
    }
    world.sessions.is_silent.store(true, Ordering::Relaxed);
    let asked = world.sessions.asked.load(Ordering::Relaxed);
    let since = Instant::now();
    let waiting = senders.iter_mut().map(async |sender| {
        let response = sender.send_request(get(APP, "/")).await.unwrap();
        let status = response.status();
        drop(text(response).await);
        status
    });
    for status in futures_util::future::join_all(waiting).await {
        assert_eq!(status, StatusCode::OK, "what was last known is used");
    }
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    assert_eq!(world.sessions.asked.load(Ordering::Relaxed), asked + 1, "one asks for all");
    assert!(world.proxy.metrics.stale_decisions.get() >= 8, "and that is counted");
}

#[tokio::test]
async fn in_strict_mode_nothing_is_used_that_cannot_be_checked() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    world.proxy.sessions.set_strict(true);
    let mut sender = world.http(APP, Some(certificate)).await;
    let response = sender.send_request(get(APP, "/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(text(response).await);
    world.sessions.is_silent.store(true, Ordering::Relaxed);
    tokio::time::sleep(crate::sessions::BELIEVED).await;
    assert_ne!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_auth_service_that_fails_makes_nobody_sign_in_and_ends_nothing() {
    let world = world().await;
    let _agent = world.agent().await;
    let known = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(known)).await;
    drop(text(sender.send_request(get(APP, "/")).await.unwrap()).await);
    let mut forgotten = world.proxy.sessions.forgotten();
    for failure in [Error::unavailable("away"), Error::internal("a defect"), Error::limit("too much")] {
        let kind = failure.kind;
        let unknown = world.session("bob", "grafana", kind.as_str()).await;
        *world.sessions.failure.lock().unwrap() = Some(failure);
        let response = world.http(APP, Some(unknown.clone())).await.send_request(get(APP, "/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind}");
        assert!(!response.headers().contains_key(LOCATION) && !response.headers().contains_key("x-teleport-login"));
        assert_eq!(response.headers()["x-teleport-hop"], "auth", "a bot asks again by it");
        let id = response.headers()["x-teleport-request-id"].to_str().unwrap().to_owned();
        let page = text(response).await;
        assert!(page.contains("between the proxy and the auth service") && page.contains(&id), "{page}");
        let response = world.http(APP, Some(unknown)).await.send_request(get(APP, "/teleport-logout")).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{kind}: signed out of what it cannot end");

        world.proxy.sessions.doubt();
        forgotten.mark_unchanged();
        let response = sender.send_request(get(APP, "/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{kind}: what was last known is used");
        drop(text(response).await);
        assert!(!forgotten.has_changed().unwrap(), "{kind}: a live session is forgotten");
        *world.sessions.failure.lock().unwrap() = None;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn nobody_waits_behind_another_for_an_auth_service_that_is_silent() {
    let world = world().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    world.sessions.is_silent.store(true, Ordering::Relaxed);
    let since = Instant::now();
    let asking = (0..4).map(|_| async {
        let mut sender = world.http(APP, Some(certificate.clone())).await;
        sender.send_request(get(APP, "/")).await.unwrap().status()
    });
    for status in futures_util::future::join_all(asking).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}
