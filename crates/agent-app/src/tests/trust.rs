//! Who is let in: every check that an attacker with one thing too much would meet.

use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use agent::Service as _;
use clock::{Clock, ManualClock};
use domain::{AnyResource, Metadata, ca::CaType, identity::Identity, resources::lock::Lock};
use net::BoxIo;
use rbac::{LockingMode, locks::STALE_AFTER_AT_AGENTS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tunnel::{Open, Stream, link::Serve as _};

use super::{
    http::{Line, serving},
    kit::{CLUSTER, Cluster, HOST_ID, Kit, app, identity, role},
};
use crate::{
    AppService, Config, View,
    access::{self, Asked, Refusal},
    guard::Guard,
    view::State,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is different about a certificate.
type Change = fn(&mut Identity);

#[tokio::test]
async fn without_a_certificate_of_the_user_authority_nothing_is_answered() {
    let (kit, _) = serving(|_| {}).await;
    let foreign = Cluster::new().await.issue(CaType::User, &identity("s", "app"), HOUR).await;
    let of_a_host = kit.cluster.issue(CaType::Host, &identity("s", "app"), HOUR).await;
    for shown in [None, Some(&foreign), Some(&of_a_host)] {
        // In TLS 1.3 the client is done before the server has judged it.
        if let Ok(stream) = kit.connect_by_tls(shown, b"http/1.1").await {
            hears_nothing(Box::new(stream)).await;
        }
    }
    for shown in [&foreign, &of_a_host] {
        hears_nothing(kit.connect(shown, "http/1.1").await).await;
    }
    assert_eq!(kit.auth.asked.load(std::sync::atomic::Ordering::Relaxed), 0, "auth is not even asked");
}

/// A stream whose end is not answered, though it asks.
async fn hears_nothing(mut stream: BoxIo) {
    drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await);
    let read = stream.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_proof_counts_for_its_own_stream_of_its_own_link_alone() {
    let (kit, _) = serving(|_| {}).await;
    let shown = kit.session("s", "app").await.chain();
    let honest = |stream: &Stream| stream.proof(&shown).unwrap().unwrap();
    assert!(is_answered(kit.connect_with(honest).await).await, "what an honest proxy says");
    let mut seen = Vec::new();
    let overheard = kit.connect_with(|stream| {
        seen = honest(stream);
        seen.clone()
    });
    drop(overheard.await);
    hears_nothing(kit.connect_with(|_| seen).await).await;
    // The same proof by the link of another agent: even of a stream with the same number.
    let (other, _) = serving(|_| {}).await;
    let mut elsewhere = Vec::new();
    drop(other.connect_with(honest).await);
    let overheard = other.connect_with(|stream| {
        elsewhere = honest(stream);
        elsewhere.clone()
    });
    drop(overheard.await);
    hears_nothing(kit.connect_with(|_| elsewhere).await).await;
    for nothing in [&[0, 0][..], &[0, 4, 0x16, 3, 1, 0]] {
        hears_nothing(kit.connect_with(|_| nothing.to_vec()).await).await;
    }
}

#[tokio::test]
async fn a_proof_that_never_comes_is_not_waited_for_long() {
    let manual = ManualClock::new(Clock::system().now());
    let kit = Kit::with_clock(Config { debug_app: true, ..Config::default() }, manual.clock()).await;
    let (began, mut silent) = (manual.clock().monotonic(), kit.connect_with(|_| vec![0]).await);
    let ended = manual.pass_until(Duration::from_secs(1), silent.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let waited = manual.clock().monotonic() - began;
    assert!((Duration::from_secs(14)..Duration::from_secs(60)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_protocol_that_is_not_known_is_refused_with_a_word() {
    let (kit, _) = serving(|_| {}).await;
    let open = |protocol: &str| Open { protocol: Some(protocol.to_owned()), ..Open::service("app") };
    let refused = kit.service.admit(&open("http/3")).await;
    assert!(refused.is_err_and(|why| why.contains("http/3")));
    assert_eq!(kit.service.admit(&open("h2")).await, Ok(()));
}

/// Whether a request over it has an answer.
async fn is_answered(mut stream: BoxIo) -> bool {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.is_ok() && status == *b"HTTP/1.1 200"
}

#[tokio::test]
async fn a_certificate_for_anything_else_is_no_session() {
    let cluster = Cluster::new().await;
    let wrong: [(&str, Change); 7] = [
        ("no session", |identity| identity.route_to_app.session_id.clear()),
        ("no application", |identity| identity.route_to_app.name.clear()),
        ("another cluster", |identity| identity.route_to_app.cluster_name = "other".into()),
        ("made elsewhere", |identity| identity.teleport_cluster = "other".into()),
        ("any usage", |identity| identity.usage.clear()),
        ("another usage", |identity| identity.usage = vec!["usage:kube".into()]),
        ("two usages", |identity| identity.usage.push("usage:kube".into())),
    ];
    for (what, change) in wrong {
        let mut identity = identity("s", "app");
        change(&mut identity);
        let shown = cluster.issue(CaType::User, &identity, HOUR).await;
        let read = crate::Session::read(shown.certificate, CLUSTER);
        assert!(matches!(read, Err(Refusal::Untrusted(_))), "{what}");
    }
    let shown = cluster.issue(CaType::User, &identity("s", "app"), HOUR).await;
    let session = crate::Session::read(shown.certificate, CLUSTER).unwrap();
    assert_eq!(session.sid().len(), 32);
    assert!(!session.sid().contains(session.id()));
}

#[tokio::test]
async fn refusals_say_what_the_client_may_know() {
    let (kit, _) = serving(|_| {}).await;
    kit.put(role("elsewhere", "env", "prod"));
    kit.auth.ended.lock().unwrap().push("over".to_owned());
    for (id, change, status, hop, says) in [
        ("over", (|_| {}) as Change, StatusCode::UNAUTHORIZED, "session", "the session is over"),
        ("s", |identity| identity.route_to_app.name = "other".into(), StatusCode::BAD_GATEWAY, "agent", "not served"),
        ("s", |identity| identity.roles = vec!["elsewhere".into()], StatusCode::FORBIDDEN, "agent", "is denied"),
        ("s", |identity| identity.roles.push("gone".into()), StatusCode::FORBIDDEN, "agent", "is denied"),
        ("s", |identity| identity.roles.clear(), StatusCode::FORBIDDEN, "agent", "is denied"),
        ("s", |identity| identity.pinned_ip = "192.0.2.8".into(), StatusCode::FORBIDDEN, "agent", "is denied"),
        ("s", |identity| identity.pinned_ip = "192.0.2.7".into(), StatusCode::OK, "", "GET"),
        ("s", |identity| identity.pinned_ip = "::ffff:c000:207".into(), StatusCode::OK, "", "GET"),
        (
            "s",
            |identity| identity.allowed_resource_ids = "[\"/example.test/app/x\"]".into(),
            StatusCode::FORBIDDEN,
            "agent",
            "is denied",
        ),
        (
            "s",
            |identity| identity.allowed_resource_ids = "[\"/example.test/app/app\"]".into(),
            StatusCode::OK,
            "",
            "GET",
        ),
    ] {
        let mut identity = identity(id, "app");
        change(&mut identity);
        let shown = kit.cluster.issue(CaType::User, &identity, HOUR).await;
        let request = super::http::get("/").body(Default::default()).unwrap();
        let response = Line::to(&kit, &shown).await.ask(request).await;
        let named = response.headers().get("x-teleport-hop").map_or("", |hop| hop.to_str().unwrap()).to_owned();
        assert_eq!((response.status(), named.as_str()), (status, hop), "{identity:?}");
        let body = super::http::text(response).await;
        assert!(body.contains(says) && !body.contains("elsewhere"), "{body}");
    }
}

/// What is decided about a session of now, at this time.
async fn decided(kit: &Kit, state: &State, clock: &Clock) -> Result<LockingMode, Refusal> {
    let shown = kit.session("s", "dumper").await;
    let session = crate::Session::read(shown.certificate, CLUSTER).unwrap();
    let labels = Default::default();
    let (unknown, cluster, host_id) = (&[], CLUSTER, HOST_ID);
    let asked = Asked { session: &session, labels: &labels, unknown, cluster, host_id, source: None };
    access::decide(state, &asked, clock).map(|(mode, _)| mode)
}

#[tokio::test]
async fn an_agent_that_knows_nothing_yet_lets_nobody_in() {
    let kit = Kit::new(Config { debug_app: true, ..Config::default() }).await;
    let refusal = decided(&kit, &State::default(), &Clock::system()).await;
    assert!(matches!(refusal, Err(Refusal::Unavailable(_))), "{refusal:?}");
}

#[tokio::test]
async fn who_is_let_in_on_old_locks_is_counted() {
    let manual = ManualClock::new(Clock::system().now());
    let kit = Kit::with_clock(Config { debug_app: true, ..Config::default() }, manual.clock()).await;
    let shown = kit.session("s", "dumper").await;
    let session = crate::Session::read(shown.certificate, CLUSTER).unwrap();
    let shared = &kit.service.shared;
    let guard = Guard::new(Arc::clone(shared), session, None);
    guard.check().await.unwrap();
    assert_eq!(shared.metrics.stale_decisions.get(), 0);
    manual.advance(STALE_AFTER_AT_AGENTS + Duration::from_secs(1));
    guard.check().await.unwrap();
    assert_eq!(shared.metrics.stale_decisions.get(), 1);
}

#[tokio::test]
async fn a_session_that_is_yet_to_begin_is_not_over() {
    let kit = Kit::new(Config { debug_app: true, ..Config::default() }).await;
    let behind = ManualClock::new(Clock::system().now() - 2 * HOUR);
    let refusal = decided(&kit, &kit.view.state(), &behind.clock()).await;
    assert!(matches!(&refusal, Err(Refusal::Unavailable(reason)) if reason.contains("clock")), "{refusal:?}");
}

#[tokio::test]
async fn a_lock_on_this_host_counts_under_both_of_its_names() {
    for server in [HOST_ID.to_owned(), format!("{HOST_ID}.{CLUSTER}")] {
        let kit = Kit::new(Config { debug_app: true, ..Config::default() }).await;
        let mut lock = Lock { metadata: Metadata::named("lock"), ..Lock::default() };
        lock.spec.target.server_id = server.clone();
        kit.put(AnyResource::Lock(lock));
        let refusal = decided(&kit, &kit.view.state(), &Clock::system()).await;
        assert!(matches!(refusal, Err(Refusal::Locked(_))), "{server}: {refusal:?}");
    }
}

#[tokio::test]
async fn an_agent_is_prepared_when_it_knows_all_of_the_cluster() {
    let kit = Kit::new(Config::default()).await;
    let view = Arc::new(View::new(CLUSTER).unwrap());
    let resources = vec![[("*", vec!["*"])].into_iter().collect()];
    let config = Config { resources, ..Config::default() };
    let service = AppService::new(config, kit.service.shared.me.clone(), Arc::clone(&view), kit.auth.ports()).unwrap();
    view.apply(api::convert::watch::Event::Put(Box::new(role("reach", "*", "*"))));
    let clock = Clock::system();
    assert!(clock.timeout(Duration::from_millis(100), service.prepared()).await.is_err(), "one change is not all");
    let knows = async {
        clock.sleep(Duration::from_millis(50)).await;
        view.replace(vec![AnyResource::App(app("wiki", "http://127.0.0.1:1"))], clock.monotonic());
    };
    let prepared = clock.timeout(Duration::from_secs(5), service.prepared());
    assert!(tokio::join!(knows, prepared).1.is_ok());
    assert!(service.shared.registry.find("wiki").is_some(), "a proxy may ask for it at once");
}
