use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::StatusCode;

use super::world::{APP, SESSION, get, text, world};

#[tokio::test]
async fn a_silent_auth_service_delays_nobody_for_long_and_no_queue_forms_behind_it() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate.clone())).await;
    assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::OK);
    world.sessions.is_silent.store(true, Ordering::Relaxed);
    tokio::time::sleep(crate::sessions::BELIEVED).await;
    let asked = world.sessions.asked.load(Ordering::Relaxed);
    let since = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut sender = world.http(APP, Some(certificate.clone())).await;
        waiting.push(tokio::spawn(async move {
            let response = sender.send_request(get(APP, "/")).await.unwrap();
            let status = response.status();
            drop(text(response).await);
            status
        }));
    }
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), StatusCode::OK, "what was last known is used");
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert_eq!(world.sessions.asked.load(Ordering::Relaxed), asked + 1, "one asks for all");
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
