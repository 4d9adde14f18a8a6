//! What the audit log is told.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ::http::{Method, StatusCode};
use clock::{Clock, ManualClock};
use crypto::Random;
use domain::ca::CaType;

use super::{
    http::{Line, serving},
    kit::{Cluster, FakeAuth, identity, lock},
};
use crate::{
    Session,
    access::Refusal,
    guard::Guard,
    ports::{Happened, Requests},
    recorder::Recorder,
};

const GET: Method = Method::GET;
const OK: StatusCode = StatusCode::OK;

async fn session(id: &str) -> Session {
    let shown = Cluster::new().await.issue(CaType::User, &identity(id, "app"), Duration::from_secs(86_400)).await;
    Session::read(shown.certificate, super::kit::CLUSTER).unwrap()
}

fn told(auth: &FakeAuth) -> Vec<Happened> {
    auth.reports.lock().unwrap().drain(..).map(|report| report.what).collect()
}

#[tokio::test]
async fn like_requests_of_a_stretch_are_counted_together_and_others_bounded() {
    let (manual, auth) = (ManualClock::new(Clock::system().now()), Arc::new(FakeAuth::default()));
    let recorder = Recorder::new(auth.clone(), manual.clock(), Random::system());
    let session = session("one").await;
    for _ in 0..3 {
        recorder.request(&session, None, (&GET, "/api", OK));
    }
    recorder.request(&session, None, (&GET, "/api", StatusCode::NOT_FOUND));
    recorder.farewell().await;
    let (first, second) = match told(&auth).as_slice() {
        [Happened::Chunk(begun), Happened::Requests(chunk, requests)] if begun == chunk => {
            assert_eq!(requests.iter().map(|like| like.count).sum::<u64>(), 4);
            let api = Requests { method: "GET".into(), path: "/api".into(), status: 200, count: 3 };
            assert!(requests.contains(&api) && requests.len() == 2, "{requests:?}");
            (begun.clone(), chunk.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(first, second);

    for count in 0..5000 {
        recorder.request(&session, None, (&GET, &format!("/{count}"), OK));
    }
    recorder.request(&session, None, (&GET, &"x".repeat(10_000), OK));
    manual.advance(Duration::from_secs(301));
    recorder.request(&session, None, (&GET, "/later", OK));
    recorder.farewell().await;
    let told = told(&auth);
    let [Happened::Chunk(_), Happened::Requests(one, many), Happened::Chunk(next), Happened::Requests(last, few)] =
        told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert!(one != next && next == last && few.len() == 1, "five minutes are one stretch");
    assert!(many.len() <= 101 && many.iter().map(|like| like.count).sum::<u64>() == 5001, "{}", many.len());
    assert!(many.iter().all(|like| like.path.len() <= 200));
}

#[tokio::test]
async fn what_cannot_be_told_now_is_told_later_and_refusals_once_a_minute() {
    let (manual, auth) = (ManualClock::new(Clock::system().now()), Arc::new(FakeAuth::default()));
    let recorder = Recorder::new(auth.clone(), manual.clock(), Random::system());
    let session = session("one").await;
    auth.is_down.store(true, Ordering::Relaxed);
    for _ in 0..100 {
        recorder.refused(&session, None, "locked");
    }
    recorder.farewell().await;
    assert!(told(&auth).is_empty());
    auth.is_down.store(false, Ordering::Relaxed);
    recorder.farewell().await;
    assert!(matches!(told(&auth).as_slice(), [Happened::Refused(reason)] if reason == "locked"));
    for seconds in [30, 29, 30, 30] {
        manual.advance(Duration::from_secs(seconds));
        recorder.refused(&session, None, "locked");
    }
    recorder.farewell().await;
    assert_eq!(told(&auth).len(), 1, "once a minute, though it was tried in between");
    manual.advance(Duration::from_secs(61));
    recorder.refused(&session, None, "locked");
    recorder.refused(&session, None, "something else");
    recorder.farewell().await;
    assert_eq!(told(&auth).len(), 2);
    for _ in 0..10_000 {
        recorder.happened(&session, None, Happened::Cut(String::new()));
    }
    recorder.farewell().await;
    assert_eq!(told(&auth).len(), 4096, "what waits is bounded");
}

/// What is told, with the address that it is told of.
fn told_of(auth: &FakeAuth) -> Vec<(Option<IpAddr>, Happened)> {
    let reports = auth.reports.lock().unwrap().drain(..).collect::<Vec<_>>();
    reports.into_iter().map(|report| (report.source.map(|source| source.ip()), report.what)).collect()
}

#[tokio::test]
async fn who_uses_a_copy_elsewhere_is_told_of_by_his_own_address() {
    let (manual, auth) = (ManualClock::new(Clock::system().now()), Arc::new(FakeAuth::default()));
    let recorder = Recorder::new(auth.clone(), manual.clock(), Random::system());
    let session = session("one").await;
    let [bot, again, claimed, thief] =
        ["10.0.0.5:1000", "[::ffff:10.0.0.5]:1001", "10.0.0.5:0", "203.0.113.9:7"].map(|at| at.parse().unwrap());
    for source in [bot, thief, again, claimed, thief] {
        recorder.request(&session, Some(source), (&GET, "/", OK));
        recorder.connected(&session, Some(source));
        recorder.refused(&session, Some(source), "locked");
        recorder.cut(&session, Some(source), "locked");
    }
    recorder.farewell().await;
    let told = told_of(&auth);
    let of = |source: SocketAddr, is_it: fn(&Happened) -> bool| {
        told.iter().filter(|(at, what)| *at == Some(source.ip()) && is_it(what)).count()
    };
    for is_it in [
        (|what| matches!(what, Happened::Chunk(_))) as fn(&Happened) -> bool,
        |what| matches!(what, Happened::Refused(_)),
        |what| matches!(what, Happened::Cut(_)),
        |what| matches!(what, Happened::Requests(_, requests) if requests[0].count <= 2),
    ] {
        assert_eq!(
            (of(bot, is_it), of(thief, is_it)),
            (2, 1),
            "once where it is certain, once where it is claimed: {told:?}"
        );
    }
}

#[tokio::test]
async fn who_has_addresses_without_end_fills_nothing_and_speaks_for_nobody() {
    let (manual, auth) = (ManualClock::new(Clock::system().now()), Arc::new(FakeAuth::default()));
    let recorder = Recorder::new(auth.clone(), manual.clock(), Random::system());
    let sessions = [session("one").await, session("two").await];
    for host in 0..50 {
        let source = SocketAddr::from(([203, 0, 113, host], 7));
        recorder.request(&sessions[0], Some(source), (&GET, "/", OK));
        recorder.refused(&sessions[0], Some(source), "locked");
    }
    recorder.request(&sessions[1], Some("10.0.0.5:1".parse().unwrap()), (&GET, "/", OK));
    recorder.farewell().await;
    let told = told_of(&auth);
    let chunks: Vec<_> =
        told.iter().filter(|(_, what)| matches!(what, Happened::Chunk(_))).map(|(at, _)| *at).collect();
    assert_eq!(chunks.len(), 8 + 1 + 1, "{told:?}");
    assert_eq!(chunks.iter().filter(|at| at.is_none()).count(), 1);
    assert_eq!(told.iter().filter(|(_, what)| matches!(what, Happened::Refused(_))).count(), 8 + 1);
    let counted = |is_it: fn(Option<IpAddr>) -> bool| {
        let requests = told.iter().filter(|(at, _)| is_it(*at)).map(|(_, what)| match what {
            Happened::Requests(_, requests) => requests.iter().map(|like| like.count).sum(),
            _ => 0_u64,
        });
        requests.sum::<u64>()
    };
    assert_eq!((counted(|at| at.is_some()), counted(|at| at.is_none())), (8 + 1, 50 - 8));
    manual.advance(Duration::from_secs(61));
    recorder.refused(&sessions[0], Some("203.0.113.49:7".parse().unwrap()), "locked");
    recorder.farewell().await;
    assert!(told_of(&auth).iter().all(|(at, _)| at.is_some()), "places of before are forgotten");
}

#[tokio::test]
async fn what_is_too_much_for_one_call_is_told_in_several() {
    let (manual, auth) = (ManualClock::new(Clock::system().now()), Arc::new(FakeAuth::default()));
    let recorder = Recorder::new(auth.clone(), manual.clock(), Random::system());
    let session = session("one").await;
    for takes in [512, 250] {
        auth.takes.store(takes, Ordering::Relaxed);
        for _ in 0..20 {
            for count in 0..100 {
                recorder.request(&session, None, (&GET, &format!("/{count}"), OK));
            }
            manual.advance(Duration::from_secs(301));
        }
        auth.calls.store(0, Ordering::Relaxed);
        recorder.farewell().await;
        let requests = |what: Happened| match what {
            Happened::Requests(_, requests) => requests.iter().map(|like| like.count).sum(),
            _ => 0_u64,
        };
        assert_eq!(told(&auth).into_iter().map(requests).sum::<u64>(), 2000, "{takes}");
        assert!(auth.calls.load(Ordering::Relaxed) < 30, "{takes}");
    }
    auth.takes.store(1, Ordering::Relaxed);
    recorder.request(&session, None, (&GET, "/", OK));
    manual.advance(Duration::from_secs(301));
    recorder.farewell().await;
    assert!(matches!(told(&auth).as_slice(), [Happened::Chunk(_)]), "one that is too much now waits");
    auth.takes.store(2, Ordering::Relaxed);
    recorder.farewell().await;
    assert!(matches!(told(&auth).as_slice(), [Happened::Requests(..)]));
}

#[tokio::test]
async fn connections_of_a_session_are_cut_together_and_only_where_something_was_decided() {
    let (kit, shown) = serving(|_| {}).await;
    let session = Session::read(shown.certificate, super::kit::CLUSTER).unwrap();
    let guard = Guard::new(Arc::clone(&kit.service.shared), session, None);
    guard.log_cut(&Refusal::Unavailable("stale".into()));
    guard.log_cut(&Refusal::Ended);
    for _ in 0..20 {
        guard.log_cut(&Refusal::Locked("locked".into()));
    }
    guard.log_refusal(&Refusal::Locked("locked".into()));
    agent::Service::finish(&*kit.service).await;
    let told = told(&kit.auth);
    let [Happened::Cut(cut), Happened::Refused(refused)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((cut.as_str(), refused.as_str()), ("locked", "locked"));
}

#[tokio::test]
async fn a_cut_a_refusal_and_a_stretch_are_told_by_the_agent() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    assert_eq!(line.get("/a?secret=1").await.0, OK);
    kit.until(|| kit.auth.reported(|what| matches!(what, Happened::Chunk(_)).then_some(()))).await;
    kit.put(lock("alice"));
    let cut = kit.until(|| {
        kit.auth.reported(|what| match what {
            Happened::Cut(reason) => Some(reason.clone()),
            _ => None,
        })
    });
    assert!(cut.await.contains("go away"));
    assert_eq!(Line::to(&kit, &shown).await.get("/b").await.0, StatusCode::FORBIDDEN);
    kit.until(|| kit.auth.reported(|what| matches!(what, Happened::Refused(_)).then_some(()))).await;
    agent::Service::finish(&*kit.service).await;
    let requests = kit.auth.reported(|what| match what {
        Happened::Requests(_, requests) => Some(requests.clone()),
        _ => None,
    });
    assert_eq!(requests, Some(vec![Requests { method: "GET".into(), path: "/a".into(), status: 200, count: 1 }]));
}
