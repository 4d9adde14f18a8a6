//! What runs ends when those whose it is may not go on: sessions at once, and the links of hosts.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{
    Resource as _,
    ca::CaType,
    resources::{Lock, lock::LockSpec},
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncReadExt as _, sync::mpsc};

use super::{
    until,
    world::{AGENT, APP, Authority, SESSION, SLOW, World, get, text, world, world_with},
};
use crate::{
    applications::running::Requests,
    router::{H2, HTTP_1_1, TCP},
};

/// Long enough for a machine with much to do; far below the five seconds that an answer about a session is believed.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A body that never ends, and an answer that gives it back as it comes.
async fn endless(world: &World, protocol: &[u8]) -> (mpsc::UnboundedSender<Bytes>, Incoming) {
    let certificate = world.session("alice", "grafana", SESSION).await;
    let stream = TokioIo::new(world.connect(APP, Some(certificate), &[protocol]).await.unwrap());
    let (say, said) = mpsc::unbounded_channel::<Bytes>();
    let body = StreamBody::new(Box::pin(futures_util::stream::unfold(said, |mut said| async move {
        Some((Ok::<_, Infallible>(Frame::data(said.recv().await?)), said))
    })));
    say.send(Bytes::from_static(b"hello")).unwrap();
    let response = if protocol == H2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(Request::post(format!("https://{APP}/echo")).body(body).unwrap()).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(Request::post("/echo").header("host", APP).body(body).unwrap()).await.unwrap()
    };
    let mut answer = response.into_body();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    (say, answer)
}

#[tokio::test]
async fn an_answer_that_runs_is_broken_off_when_its_session_has_ended() {
    let world = world().await;
    let _agent = world.agent().await;
    for protocol in [HTTP_1_1, H2] {
        let (say, mut answer) = endless(&world, protocol).await;
        world.proxy.sessions.doubt();
        tokio::time::sleep(Duration::from_millis(200)).await;
        say.send(Bytes::from_static(b"again")).unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "again", "the session lives");
        world.sessions.end(SESSION);
        world.proxy.sessions.doubt();
        let ended = tokio::time::timeout(AT_ONCE, answer.frame()).await.expect("the answer outlived its session");
        assert!(ended.is_none_or(|frame| frame.is_err()));
    }
    // A connection on which nothing runs is let be.
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut idle = world.http(APP, Some(certificate)).await;
    assert!(text(idle.send_request(get(APP, "/")).await.unwrap()).await.contains("alice"));
    world.sessions.end(SESSION);
    world.proxy.sessions.doubt();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(idle.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::FOUND);
}

#[tokio::test]
async fn what_runs_on_after_a_stop_ends_with_its_session_and_the_cluster_is_still_followed() {
    let world = world().await;
    let _agent = world.agent().await;
    let (_say, mut answer) = endless(&world, HTTP_1_1).await;
    world.stop.soft();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let calls = world.calls.load(Ordering::Relaxed);
    let asks = async {
        while world.calls.load(Ordering::Relaxed) == calls {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(AT_ONCE * 3, asks).await.is_ok(), "nobody would hear of a lock");
    world.sessions.end(SESSION);
    world.proxy.sessions.doubt();
    let ended = tokio::time::timeout(AT_ONCE, answer.frame()).await.expect("the answer outlived its session");
    assert!(ended.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn what_runs_goes_on_when_the_agent_and_then_the_proxy_are_asked_to_stop() {
    let world = world().await;
    let agent = world.agent().await;
    let (say, mut answer) = endless(&world, HTTP_1_1).await;
    for stop in [&(|| agent.cancel()) as &dyn Fn(), &|| world.stop.soft()] {
        stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        say.send(Bytes::from_static(b"again")).unwrap();
        let frame = tokio::time::timeout(AT_ONCE, answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.expect("it was cut off").into_data().unwrap(), "again");
    }
}

#[tokio::test]
async fn a_proxy_that_stops_is_not_asked_for_its_agents_while_its_streams_run() {
    let mut world = world().await;
    let _agent = world.agent().await;
    let first = world.stop.clone();
    world.meet_another_proxy().await;
    let (say, mut answer) = endless(&world, HTTP_1_1).await;
    first.soft();
    let (successor, _stop, _proxy) = Box::pin(world.start_another("f00d", &[])).await;
    let _back = world.agent_at(successor).await;
    world.proxy.peers.set([("f00d".to_owned(), successor.to_string())].into());
    let certificate = world.session("alice", "grafana", "another").await;
    let response = world.http(APP, Some(certificate)).await.send_request(get(APP, "/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    say.send(Bytes::from_static(b"again")).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "again");
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_looked_at_begins_nothing() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    world.sessions.is_slow.store(true, Ordering::Relaxed);
    let asked = tokio::spawn(async move { sender.send_request(get(APP, "/")).await.unwrap().status() });
    until(|| world.sessions.asked.load(Ordering::Relaxed) > 0).await;
    tokio::time::sleep(SLOW / 4).await;
    world.sessions.end(SESSION);
    world.proxy.sessions.doubt();
    assert_eq!(asked.await.unwrap(), StatusCode::FOUND);
}

#[tokio::test]
async fn a_stream_whose_session_ended_while_its_agent_was_waited_for_does_not_live() {
    let world = world().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut stream = world.connect(APP, Some(certificate), &[TCP]).await.unwrap();
    until(|| world.sessions.asked.load(Ordering::Relaxed) > 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.sessions.end(SESSION);
    world.proxy.sessions.doubt();
    let _agent = world.agent().await;
    let ended = tokio::time::timeout(AT_ONCE, stream.read(&mut [0])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_runs_sleeps() {
    let world = world().await;
    let (requests, wakes) = (Requests::default(), Arc::new(Wakes::default()));
    let (waker, mut over) = (Waker::from(Arc::clone(&wakes)), Box::pin(requests.is_over(&world.proxy)));
    assert!(over.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    world.proxy.sessions.doubt();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it wakes though it has nothing to look at");
}

#[tokio::test]
async fn an_application_that_does_not_answer_in_time_is_waited_for_once() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let world = world_with(|config| config.limits.answer_deadline = DEADLINE).await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let since = Instant::now();
    let response = sender.send_request(get(APP, "/never")).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(since.elapsed() < DEADLINE * 2, "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_application_that_does_not_answer_in_time_is_named() {
    let world = world_with(|config| config.limits.answer_deadline = Duration::from_millis(300)).await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let mut request = get(APP, "/never");
    request.headers_mut().insert("accept", "text/html".parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let id = response.headers()["x-teleport-request-id"].to_str().unwrap().to_owned();
    let page = text(response).await;
    assert!(
        page.contains("behind the proxy") && page.contains("did not answer in time") && page.contains(&id),
        "{page}"
    );
    assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::OK, "others go on");
}

async fn until_agents(world: &World, count: usize, why: &str) {
    for _ in 0..200 {
        if world.proxy.agents() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{why}: {} agents", world.proxy.agents());
}

#[tokio::test]
async fn the_link_of_a_host_that_is_locked_or_not_trusted_any_more_is_closed() {
    let world = world().await;
    let _agent = world.agent().await;
    until_agents(&world, 1, "attached").await;
    let mut lock = Lock::new("stolen", LockSpec::default());
    lock.spec.target.server_id = AGENT.to_owned();
    lock.set_defaults();
    world.proxy.view.change_lock("stolen", Some(lock));
    until_agents(&world, 0, "locked").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.proxy.agents(), 0, "it dials again, and is not let in");
    world.proxy.view.change_lock("stolen", None);
    until_agents(&world, 1, "the lock is gone").await;

    let other = Authority::new(3).await;
    world.proxy.view.set_authorities(vec![other.document(CaType::Host), world.users.document(CaType::User)]);
    until_agents(&world, 0, "its authority is gone").await;
}
