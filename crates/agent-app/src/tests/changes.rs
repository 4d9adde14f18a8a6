//! What changes while connections run.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ::http::StatusCode;
use agent::Service as _;
use api::convert::watch::Event;
use clock::{Clock, ManualClock};
use domain::{
    AnyResource, Kind,
    ca::CaType,
    identity::Identity,
    resources::{
        app::{CommandLabel, Rewrite},
        role::Role,
    },
};
use http_body_util::BodyExt as _;

use super::{
    http::{Line, get, serving},
    kit::{Kit, app, identity, lock, role},
};
use crate::{Config, registry::Served};

/// Every change must have taken effect within this (ARCHITECTURE: 1 s).
const SOON: Duration = Duration::from_secs(1);

/// Begins an endless answer and waits until it is cut.
async fn is_cut(kit: &Kit, shown: &super::kit::Shown, change: impl FnOnce(&Kit)) {
    let mut line = Line::to(kit, shown).await;
    let mut events = line.ask(get("/events").body(Default::default()).unwrap()).await.into_body();
    events.frame().await.unwrap().unwrap();
    change(kit);
    let cut = Clock::system().timeout(SOON, events.frame()).await.expect("not cut in time");
    assert!(cut.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn changes_end_running_connections_within_a_second() {
    let changes: [fn(&Kit); 6] = [
        |kit| kit.put(lock("alice")),
        |kit| kit.put(role("reach", "env", "prod")),
        |kit| kit.view.apply(Event::Delete { kind: Kind::Role, sub_kind: String::new(), name: "reach".into() }),
        |kit| {
            let (sub_kind, name) = (CaType::User.as_str().to_owned(), super::kit::CLUSTER.to_owned());
            kit.view.apply(Event::Delete { kind: Kind::CertAuthority, sub_kind, name });
        },
        |kit| {
            // The user was deleted, and auth ended the sessions with it.
            kit.auth.ended.lock().unwrap().push("session-1".to_owned());
            kit.view.apply(Event::Delete { kind: Kind::User, sub_kind: String::new(), name: "alice".into() });
        },
        |kit| {
            // It hits a role of whoever took on the user's name; the agent does not know that user's roles.
            kit.auth.ended.lock().unwrap().push("session-1".to_owned());
            kit.put(lock("role of somebody"));
        },
    ];
    for change in changes {
        let (kit, shown) = serving(|_| {}).await;
        is_cut(&kit, &shown, change).await;
    }
}

#[tokio::test]
async fn a_lock_on_whoever_took_on_a_name_ends_what_runs_under_it() {
    let (kit, _) = serving(|_| {}).await;
    let assumed = Identity { impersonator: "carol".into(), ..identity("session-1", "app") };
    let shown = kit.cluster.issue(CaType::User, &assumed, Duration::from_secs(600)).await;
    is_cut(&kit, &shown, |kit| kit.put(lock("carol"))).await;
}

#[tokio::test]
async fn an_agent_that_stops_ends_what_waits_and_lets_what_runs_come_to_its_end() {
    let (kit, shown) = serving(|_| {}).await;
    let (mut idle, mut busy) = (Line::to(&kit, &shown).await, Line::to(&kit, &shown).await);
    assert_eq!(idle.get("/").await.0, StatusCode::OK);
    let huge = busy.ask(get("/huge").body(Default::default()).unwrap()).await;
    kit.service.shared.stopping.cancel();
    Clock::system().timeout(SOON, idle.ended()).await.expect("a connection that waits holds the agent up");
    let length = huge.into_body().collect().await.unwrap().to_bytes().len();
    assert_eq!(length, 64 * 1024 * 1024, "what runs comes to its end");
}

#[tokio::test]
async fn what_comes_to_its_end_after_a_stop_is_still_cut_by_changes() {
    let (kit, shown) = serving(|_| {}).await;
    kit.until(|| (kit.auth.following.load(Ordering::Relaxed) == 1).then_some(())).await;
    let mut line = Line::to(&kit, &shown).await;
    let mut events = line.ask(get("/events").body(Default::default()).unwrap()).await.into_body();
    events.frame().await.unwrap().unwrap();
    kit.stop.soft();
    Clock::system().sleep(Duration::from_millis(100)).await;
    assert_eq!(kit.auth.following.load(Ordering::Relaxed), 1, "changes are followed on");
    kit.auth.ended.lock().unwrap().push("session-1".to_owned());
    kit.view.apply(Event::Delete { kind: Kind::User, sub_kind: String::new(), name: "alice".into() });
    let cut = Clock::system().timeout(SOON, events.frame()).await.expect("not cut in time");
    assert!(cut.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn an_application_that_is_refused_hides_no_other() {
    let apps = ["one", "three", "two"].map(|name| app(name, "http://127.0.0.1:1")).into();
    let kit = Kit::new(Config { apps, ..Config::default() }).await;
    *kit.auth.refuses.lock().unwrap() = "one".to_owned();
    let error = kit.service.announce(&["proxy-1".to_owned()]).await.expect_err("one is refused");
    assert!(error.message.contains("\"one\"") && error.message.contains("public address"), "{error}");
    let mut announced: Vec<_> = kit.auth.announced.lock().unwrap().keys().cloned().collect();
    announced.sort();
    assert_eq!(announced, ["three", "two"]);
}

#[tokio::test]
async fn expiry_ends_a_running_connection() {
    let (kit, _) = serving(|_| {}).await;
    let shown = kit.cluster.issue(CaType::User, &identity("s", "app"), Duration::from_secs(2)).await;
    let mut line = Line::to(&kit, &shown).await;
    let mut events = line.ask(get("/events").body(Default::default()).unwrap()).await.into_body();
    events.frame().await.unwrap().unwrap();
    let cut = Clock::system().timeout(Duration::from_secs(4), events.frame()).await.expect("not cut in time");
    assert!(cut.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn another_users_change_leaves_a_connection_alone() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    assert_eq!(line.get("/").await.0, StatusCode::OK);
    kit.put(lock("bob"));
    kit.put(role("other", "*", "*"));
    assert_eq!(line.get("/").await.0, StatusCode::OK);
}

#[tokio::test]
async fn auth_is_asked_once_for_many_requests_and_may_be_away_for_a_while() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    for _ in 0..20 {
        assert_eq!(line.get("/").await.0, StatusCode::OK);
    }
    assert_eq!(kit.auth.asked.load(Ordering::Relaxed), 1);
    assert_eq!(kit.auth.signed.load(Ordering::Relaxed), 1);
    kit.auth.is_down.store(true, Ordering::Relaxed);
    kit.view.apply(Event::Delete { kind: Kind::User, sub_kind: String::new(), name: "bob".into() });
    assert_eq!(line.get("/").await.0, StatusCode::OK, "best effort goes on with what was known");
    let other = kit.session("session-2", "app").await;
    assert_eq!(
        Line::to(&kit, &other).await.get("/").await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "of this one nothing was known"
    );
}

#[tokio::test]
async fn app_resources_are_served_by_label_and_announced() {
    let (address, running) = super::application::start().await;
    let resources = vec![[("env", vec!["dev"])].into_iter().collect()];
    let mut kit = Kit::new(Config { resources, hostname: "box".into(), ..Config::default() }).await;
    kit.run(running);
    let define = |name: &str, env: &str| {
        let mut document = app(name, &format!("http://{address}"));
        document.metadata.labels.insert("env".into(), env.into());
        AnyResource::App(document)
    };
    kit.put(define("one", "dev"));
    kit.put(define("two", "prod"));
    let shown = kit.session("s", "one").await;
    let mut changed = kit.service.changed();
    kit.until(|| (*changed.borrow_and_update() > 0).then_some(())).await;
    assert_eq!(Line::to(&kit, &shown).await.get("/").await.0, StatusCode::OK);

    kit.service.announce(&["proxy-1".to_owned()]).await.unwrap();
    let announced = kit.auth.announced.lock().unwrap().clone();
    assert_eq!(announced.keys().collect::<Vec<_>>(), ["one"]);
    let server = &announced["one"].spec;
    assert_eq!((server.hostname.as_str(), server.host_id.as_str()), ("box", super::kit::HOST_ID));
    assert_eq!(server.proxy_ids, ["proxy-1"]);
    assert_eq!(server.app.as_ref().unwrap().metadata.label(domain::metadata::ORIGIN), "dynamic");
    kit.service.withdraw().await;
    assert!(kit.auth.announced.lock().unwrap().is_empty());

    is_cut(&kit, &shown, |kit| kit.put(define("one", "prod"))).await;
    let (status, body) = Line::to(&kit, &shown).await.get("/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{body}");
}

#[tokio::test]
async fn a_session_that_lives_on_is_vouched_for_by_the_new_definition() {
    let (address, running) = super::application::start().await;
    let resources = vec![[("*", vec!["*"])].into_iter().collect()];
    let mut kit = Kit::new(Config { resources, ..Config::default() }).await;
    kit.run(running);
    let found = || kit.service.shared.registry.find("one");
    let define = async |claims: &str| {
        let mut document = app("one", &format!("http://{address}"));
        document.spec.rewrite = Some(Rewrite { jwt_claims: claims.into(), ..Rewrite::default() });
        kit.put(AnyResource::App(document.clone()));
        let is_there = |served: &Arc<Served>| served.app.document().spec == document.spec;
        kit.until(|| found().filter(is_there)).await;
    };
    define("traits").await;
    kit.service.announce(&["proxy-1".to_owned()]).await.unwrap();
    let mut line = Line::to(&kit, &kit.session("s", "one").await).await;
    assert!(line.get("/").await.1.contains("signed.one.0"));
    define("none").await;
    assert!(line.get("/").await.1.contains("signed.one.1"));
    kit.service.announce(&["proxy-1".to_owned()]).await.unwrap();
    assert!(line.get("/").await.1.contains("signed.one.2"), "what auth signed before it was told counts no more");
}

#[tokio::test]
async fn roles_and_app_resources_past_their_end_are_as_if_they_were_gone() {
    let (address, running) = super::application::start().await;
    let uri = format!("http://{address}");
    let resources = vec![[("*", vec!["*"])].into_iter().collect()];
    let mut kit = Kit::new(Config { apps: vec![app("fixed", &uri)], resources, ..Config::default() }).await;
    kit.run(running);
    let end = Some(Clock::system().now() + Duration::from_secs(2));
    let mut lasting = app("lasting", &uri);
    lasting.metadata.expires = end;
    kit.put(AnyResource::App(lasting));
    let AnyResource::Role(mut reach) = role("reach", "*", "*") else { unreachable!() };
    reach.metadata.expires = end;
    kit.put(AnyResource::Role(reach));
    let is_served = || kit.service.shared.registry.find("lasting").is_some();
    kit.until(|| is_served().then_some(())).await;
    let shown = kit.session("s", "fixed").await;
    assert_eq!(Line::to(&kit, &shown).await.get("/").await.0, StatusCode::OK);
    kit.until(|| (!is_served()).then_some(())).await;
    assert_eq!(Line::to(&kit, &shown).await.get("/").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_was_announced_just_now_is_not_announced_again() {
    let manual = ManualClock::new(Clock::system().now());
    let apps = ["one", "two"].map(|name| app(name, "http://127.0.0.1:1")).into();
    let kit = Kit::with_clock(Config { apps, ..Config::default() }, manual.clock()).await;
    let announced = async |proxy: &str| {
        kit.service.announce(&[proxy.to_owned()]).await.unwrap();
        let mut names: Vec<_> = kit.auth.announced.lock().unwrap().drain().map(|(name, _)| name).collect();
        names.sort();
        names
    };
    assert_eq!(announced("proxy-1").await, ["one", "two"]);
    assert!(announced("proxy-1").await.is_empty());
    kit.service.shared.registry.find("two").unwrap().print("load", Some("high".into()));
    assert_eq!(announced("proxy-1").await, ["two"]);
    assert_eq!(announced("proxy-2").await, ["one", "two"]);
    manual.advance(Duration::from_secs(54));
    assert_eq!(announced("proxy-2").await, ["one", "two"], "what nothing asked for is of everything");
}

#[tokio::test]
async fn what_is_not_served_any_more_is_taken_back_without_a_stop() {
    let resources = vec![[("env", vec!["dev"])].into_iter().collect()];
    let kit = Kit::new(Config { resources, ..Config::default() }).await;
    let define = |name: &str, env: &str| {
        let mut document = app(name, "http://127.0.0.1:1");
        document.metadata.labels.insert("env".into(), env.into());
        AnyResource::App(document)
    };
    for name in ["one", "two", "three"] {
        kit.put(define(name, "dev"));
    }
    let served = async |expect: &[&str]| {
        let names =
            || kit.service.shared.registry.all().iter().map(|one| one.app.name().to_owned()).collect::<Vec<_>>();
        kit.until(|| (names() == expect).then_some(())).await;
        kit.service.announce(&["proxy-1".to_owned()]).await.unwrap();
        let mut announced: Vec<_> = kit.auth.announced.lock().unwrap().keys().cloned().collect();
        announced.sort();
        announced
    };
    assert_eq!(served(&["one", "three", "two"]).await, ["one", "three", "two"]);
    kit.put(define("two", "prod"));
    assert_eq!(served(&["one", "three"]).await, ["one", "three"]);
    kit.view.apply(Event::Delete { kind: Kind::App, sub_kind: String::new(), name: "one".into() });
    assert_eq!(served(&["three"]).await, ["three"]);
}

#[tokio::test]
async fn nothing_more_is_announced_once_the_agent_stops() {
    let kit = Kit::new(Config { apps: vec![app("one", "http://127.0.0.1:1")], ..Config::default() }).await;
    kit.stop.soft();
    kit.until(|| kit.service.shared.stopping.is_cancelled().then_some(())).await;
    kit.service.announce(&["proxy-1".to_owned()]).await.unwrap();
    assert!(kit.auth.announced.lock().unwrap().is_empty());
}

/// A label whose value this command prints.
fn by_command(command: &str) -> CommandLabel {
    let command = ["/bin/sh", "-c", command].map(str::to_owned).into();
    CommandLabel { period: Duration::from_secs(1), command, result: String::new() }
}

#[tokio::test]
async fn labels_that_commands_print_decide_who_may_come() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("env");
    std::fs::write(&path, "prod").unwrap();
    let (kit, shown) = serving(|app| {
        app.spec.dynamic_labels.insert("env".into(), by_command(&format!("cat {}", path.display())));
    })
    .await;
    kit.put(role("reach", "env", "dev"));
    assert_eq!(Line::to(&kit, &shown).await.get("/").await.0, StatusCode::FORBIDDEN);
    std::fs::write(&path, "dev").unwrap();
    let served = kit.service.shared.registry.find("app").unwrap();
    kit.until(|| (served.labels().get("env").map(String::as_str) == Some("dev")).then_some(())).await;
    assert_eq!(Line::to(&kit, &shown).await.get("/").await.0, StatusCode::OK);
    assert_eq!(served.document().spec.dynamic_labels["env"].result, "dev");
}

#[tokio::test]
async fn a_label_that_no_command_has_printed_yet_opens_no_door_that_it_may_close() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("class");
    let (kit, shown) = serving(|app| {
        app.spec.dynamic_labels.insert("class".into(), by_command(&format!("cat {}", path.display())));
    })
    .await;
    let reach = |change: fn(&mut Role)| {
        let AnyResource::Role(mut reach) = role("reach", "*", "*") else { unreachable!() };
        change(&mut reach);
        kit.put(AnyResource::Role(reach));
    };
    let asked = async || Line::to(&kit, &shown).await.get("/").await;
    let denying: fn(&mut Role) = |role| role.spec.deny.app_labels = [("class", vec!["secret"])].into_iter().collect();
    for (change, expect) in [
        ((|_| {}) as fn(&mut Role), StatusCode::OK),
        (|role| role.spec.deny.app_labels = [("env", vec!["prod"])].into_iter().collect(), StatusCode::OK),
        (
            |role| role.spec.allow.app_labels_expression = "labels[\"class\"] != \"secret\"".into(),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (|role| role.spec.deny.app_labels_expression = "labels[\"env\"] == \"prod\"".into(), StatusCode::OK),
        (|role| role.spec.allow.app_labels = [("class", vec!["open"])].into_iter().collect(), StatusCode::FORBIDDEN),
        (denying, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        reach(change);
        let (status, body) = asked().await;
        assert_eq!(status, expect, "{body}");
        let says = body.contains("label \"class\" of application \"app\"");
        assert_eq!(says, status == StatusCode::SERVICE_UNAVAILABLE, "{body}");
    }
    let served = kit.service.shared.registry.find("app").unwrap();
    for (class, expect) in [("open", StatusCode::OK), ("secret", StatusCode::FORBIDDEN)] {
        std::fs::write(&path, class).unwrap();
        kit.until(|| (served.labels().get("class").map(String::as_str) == Some(class)).then_some(())).await;
        assert_eq!(asked().await.0, expect);
    }
    assert!(!served.print("class", None) && served.labels()["class"] == "secret", "a failure takes no label away");
}

#[tokio::test]
async fn an_agent_is_prepared_when_each_command_has_ended_once_for_good_or_bad() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("go on");
    let mut document = app("app", "http://127.0.0.1:1");
    let waiting = format!("until test -e '{}'; do sleep 0.05; done; echo slow", path.display());
    document.spec.dynamic_labels =
        [("slow".to_owned(), by_command(&waiting)), ("broken".to_owned(), by_command("exit 1"))].into();
    let kit = Kit::new(Config { apps: vec![document], ..Config::default() }).await;
    let (clock, registry) = (Clock::system(), &kit.service.shared.registry);
    assert!(clock.timeout(Duration::from_millis(300), kit.service.prepared()).await.is_err(), "one has not ended");
    std::fs::write(&path, "").unwrap();
    clock.timeout(Duration::from_secs(10), kit.service.prepared()).await.expect("all have ended");
    let served = registry.find("app").unwrap();
    assert_eq!((served.labels()["slow"].as_str(), served.unknown()), ("slow", vec!["broken".to_owned()]));
}
