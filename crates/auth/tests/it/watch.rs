//! Watches: in order, whole, filtered, and without secrets; and what they may cost.

use std::time::Duration;

use auth::watch::{Told, Watch, WatchKind, open};
use auth::{Caller, apps, locks, roles, users};
use domain::{
    AnyResource,
    error::Kind as ErrorKind,
    form::Labels,
    resources::{App, CertAuthority, Role, role::Rule},
};

use crate::{
    harness::Cluster,
    locks::lock,
    people::{role, user},
};

/// How often a watch may look anew at what it may know.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn kinds(names: &[&str]) -> Vec<WatchKind> {
    names.iter().map(|name| WatchKind { kind: (*name).to_owned(), ..WatchKind::default() }).collect()
}

/// The next `count` things told, as `put name` and `delete name`.
async fn told(watch: &mut Watch, caller: &Caller, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match watch.next(caller).await.unwrap() {
            Some(Told::Put(resource)) => found.push(format!("put {}", resource.metadata().name)),
            Some(Told::Delete { name, .. }) => found.push(format!("delete {name}")),
            None => {}
        }
    }
    found
}

#[tokio::test]
async fn changes_are_told_in_the_order_of_their_commits() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut watch = open(auth, &admin, &kinds(&["role", "lock"]), false).await.unwrap();
    let mut expected = Vec::new();
    for n in 0..50 {
        let name = format!("r{n}");
        roles::create(auth, &admin, role(&name, vec![])).await.unwrap();
        locks::upsert(auth, &admin, lock(&format!("l{n}"), |target| target.user = "x".into())).await.unwrap();
        roles::delete(auth, &admin, &name).await.unwrap();
        expected.extend([format!("put r{n}"), format!("put l{n}"), format!("delete r{n}")]);
    }
    assert_eq!(told(&mut watch, &admin, expected.len()).await, expected);
}

#[tokio::test]
async fn names_and_filters_narrow_what_is_put() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let by_name = WatchKind { kind: "role".into(), name: "b".into(), ..WatchKind::default() };
    let by_target =
        WatchKind { kind: "lock".into(), filter: [("user".into(), "alice".into())].into(), ..WatchKind::default() };
    let mut watch = open(auth, &admin, &[by_name, by_target], false).await.unwrap();
    for name in ["a", "b"] {
        roles::create(auth, &admin, role(name, vec![])).await.unwrap();
    }
    for user in ["bob", "alice"] {
        locks::upsert(auth, &admin, lock(user, |target| target.user = user.into())).await.unwrap();
    }
    locks::delete(auth, &admin, "bob").await.unwrap();
    assert_eq!(
        told(&mut watch, &admin, 3).await,
        ["put b", "put alice", "delete bob"],
        "a deletion has no target left"
    );
}

#[tokio::test]
async fn authorities_come_without_keys_and_unknown_types_only_when_named() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let all = WatchKind { kind: "cert_authority".into(), with_secrets: true, ..WatchKind::default() };
    let named = WatchKind { filter: [("awsra".into(), "*".into())].into(), ..all.clone() };
    let mut old = open(auth, &admin, &[all], false).await.unwrap();
    let mut new = open(auth, &admin, &[named], false).await.unwrap();
    for ca_type in ["awsra", "user"] {
        let stored = auth.store().get_in::<CertAuthority>(ca_type, auth.cluster()).await.unwrap().unwrap();
        auth.store().change().update(&stored).unwrap().commit().await.unwrap();
    }
    for (watch, expected) in [(&mut old, "user"), (&mut new, "awsra")] {
        let resource = loop {
            if let Some(Told::Put(resource)) = watch.next(&admin).await.unwrap() {
                break resource;
            }
        };
        let AnyResource::CertAuthority(authority) = &*resource else { panic!("{resource:?}") };
        assert_eq!(authority.ca_type().as_str(), expected);
        assert_eq!(authority.clone().without_secrets(), *authority);
    }
}

#[tokio::test]
async fn a_refused_kind_refuses_the_watch_unless_part_of_it_will_do() {
    let cluster = Cluster::start().await;
    let auth = &cluster.auth;
    let reader = cluster.person("reader", vec![Rule::new(["role"], ["list", "read"])]).await;
    open(auth, &reader, &kinds(&["role"]), false).await.unwrap();
    for (other, kind) in [("token", ErrorKind::Denied), ("node", ErrorKind::Unsupported), ("moon", ErrorKind::Invalid)]
    {
        assert_eq!(open(auth, &reader, &kinds(&["role", other]), false).await.unwrap_err().kind(), kind, "{other}");
        assert_eq!(open(auth, &reader, &kinds(&[other, "role"]), true).await.unwrap().accepted(), [1]);
        assert_eq!(open(auth, &reader, &kinds(&[other]), true).await.unwrap_err().kind(), kind);
    }
    let anonymous = Caller::anonymous("192.0.2.1:1");
    assert_eq!(open(auth, &anonymous, &kinds(&["cert_authority"]), true).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn who_loses_a_role_loses_the_watch() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let reader = cluster.person("reader", vec![Rule::new(["lock"], ["list", "read"])]).await;
    let mut watch = open(auth, &reader, &kinds(&["lock"]), false).await.unwrap();
    watch.recheck(auth, &reader).unwrap();
    roles::upsert(auth, &admin, role("of-reader", vec![])).await.unwrap();
    cluster.settle().await;
    let now = cluster.again("reader").await;
    assert_eq!(watch.recheck(auth, &now).unwrap_err().kind(), ErrorKind::Denied);
}

fn app(name: &str, team: &str) -> App {
    let mut app = App::new(name, Default::default());
    app.spec.uri = "http://127.0.0.1:1".into();
    app.metadata.labels.insert("team".into(), team.into());
    app
}

#[tokio::test]
async fn deletions_tell_names_of_what_could_not_be_seen() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut rule = Rule::new(["role"], ["list", "read"]);
    rule.condition = r#"equals(resource.metadata.labels["team"], "red")"#.into();
    let mut of_reader = role("of-reader", vec![rule]);
    of_reader.spec.allow.app_labels = Labels([("team".to_owned(), vec!["red".to_owned()])].into());
    roles::create(auth, &admin, of_reader.clone()).await.unwrap();
    users::create(auth, &admin, user("reader", &["of-reader"])).await.unwrap();
    cluster.settle().await;
    let reader = cluster.again("reader").await;
    let labelled = |name: &str, team: &str| {
        let mut labelled = role(name, vec![]);
        labelled.metadata.labels.insert("team".into(), team.into());
        labelled
    };
    for team in ["red", "blue"] {
        apps::create::create(auth, &admin, app(&format!("{team}-before"), team)).await.unwrap();
        roles::create(auth, &admin, labelled(&format!("{team}-role"), team)).await.unwrap();
    }
    let mut watch = open(auth, &reader, &kinds(&["app", "role"]), false).await.unwrap();
    for team in ["red", "blue"] {
        apps::create::create(auth, &admin, app(&format!("{team}-after"), team)).await.unwrap();
    }
    for name in ["blue-before", "red-before", "blue-after", "red-after"] {
        apps::delete::delete(auth, &admin, name).await.unwrap();
    }
    // What is hidden from now on is gone for the watcher; its end says nothing more.
    apps::create::create(auth, &admin, app("turns", "red")).await.unwrap();
    apps::update::update(auth, &admin, app("turns", "blue")).await.unwrap();
    apps::delete::delete(auth, &admin, "turns").await.unwrap();
    for name in ["blue-role", "red-role"] {
        roles::delete(auth, &admin, name).await.unwrap();
    }
    let expected =
        ["put red-after", "delete red-before", "delete red-after", "put turns", "delete turns", "delete red-role"];
    assert_eq!(told(&mut watch, &reader, expected.len()).await, expected);

    // With wider roles the watcher may know more, also of what was there before.
    apps::create::create(auth, &admin, app("blue-last", "blue")).await.unwrap();
    of_reader.spec.allow.app_labels = Labels([("*".to_owned(), vec!["*".to_owned()])].into());
    roles::upsert(auth, &admin, of_reader).await.unwrap();
    cluster.settle().await;
    let reader = cluster.again("reader").await;
    watch.recheck(auth, &reader).unwrap();
    cluster.clock.advance(LOOK_EVERY);
    assert!(watch.next(&reader).await.unwrap().is_some());
    apps::delete::delete(auth, &admin, "blue-last").await.unwrap();
    assert_eq!(told(&mut watch, &reader, 1).await, ["delete blue-last"]);
}

#[tokio::test]
async fn a_watch_keeps_megabytes_of_what_it_asked_for() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let lock = || WatchKind { kind: "lock".into(), ..WatchKind::default() };
    let large = WatchKind { filter: [("user".into(), "x".repeat(3_500_000))].into(), ..lock() };
    let named = WatchKind { name: "x".repeat(20_000), ..lock() };
    let many = WatchKind { filter: (0..1000).map(|n| (n.to_string(), String::new())).collect(), ..lock() };
    let unknown = WatchKind { kind: "x".repeat(3_500_000), ..WatchKind::default() };
    for wanted in [large, named, many, unknown] {
        let error = open(auth, &admin, &[wanted], true).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.message.len() < 1000, "{:.200}", error.message);
    }
    // What it keeps is told, also what it learns.
    let watch = open(auth, &admin, &kinds(&["lock"]), false).await.unwrap();
    assert!(watch.kept() < 100);
    let reader = cluster.reader_of("red").await;
    let mut watch = open(auth, &reader, &kinds(&["app"]), false).await.unwrap();
    let before = watch.kept();
    apps::create::create(auth, &admin, app("red-one", "red")).await.unwrap();
    assert_eq!(told(&mut watch, &reader, 1).await, ["put red-one"]);
    assert!(watch.kept() > before);
    apps::delete::delete(auth, &admin, "red-one").await.unwrap();
    assert_eq!(told(&mut watch, &reader, 1).await, ["delete red-one"]);
    assert_eq!(watch.kept(), before);
}

#[tokio::test]
async fn a_kind_asked_for_a_hundred_times_costs_a_hundred_walks() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let reader = cluster.reader_of("red").await;
    let once = open(auth, &reader, &kinds(&["app"]), false).await.unwrap();
    let mut watch = open(auth, &reader, &kinds(&["app"; 100]), false).await.unwrap();
    assert_eq!(watch.accepted(), (0..100).collect::<Vec<_>>(), "each is confirmed");
    assert_eq!(watch.kept(), once.kept(), "and kept once");
    apps::create::create(auth, &admin, app("red-one", "red")).await.unwrap();
    apps::create::create(auth, &admin, app("red-two", "red")).await.unwrap();
    assert_eq!(told(&mut watch, &reader, 2).await, ["put red-one", "put red-two"]);

    let named = |count: usize| -> Vec<WatchKind> {
        let one = |n: usize| WatchKind { kind: "app".into(), name: format!("a{n}"), ..WatchKind::default() };
        (0..count).map(one).collect()
    };
    assert_eq!(open(auth, &reader, &named(8), false).await.unwrap().accepted().len(), 8);
    assert_eq!(open(auth, &reader, &named(9), false).await.unwrap_err().kind(), ErrorKind::Limit);
}

#[tokio::test]
async fn every_change_of_any_role_makes_every_watcher_look_again() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let reader = cluster.reader_of("red").await;
    let mut watch = open(auth, &reader, &kinds(&["app"]), false).await.unwrap();
    roles::create(auth, &admin, role("another", vec![])).await.unwrap();
    cluster.settle().await;
    let reader = cluster.again("red-reader").await;
    watch.recheck(auth, &reader).unwrap();
    apps::create::create(auth, &admin, app("red-one", "red")).await.unwrap();
    // The clock stands still: a watch that would look again would wait for it.
    let patience = Duration::from_secs(10);
    let one = clock::Clock::system().timeout(patience, told(&mut watch, &reader, 1)).await;
    assert_eq!(one.expect("a watcher whose roles are the same looks again"), ["put red-one"]);

    // Its own roles change: it looks, but not more often than twice a second.
    roles::upsert(auth, &admin, of_reader("green")).await.unwrap();
    cluster.settle().await;
    let reader = cluster.again("red-reader").await;
    watch.recheck(auth, &reader).unwrap();
    let soon = clock::Clock::system().timeout(Duration::from_millis(300), watch.next(&reader)).await;
    assert!(soon.is_err(), "it looks again at once: {soon:?}");
    apps::create::create(auth, &admin, app("green-one", "green")).await.unwrap();
    cluster.clock.advance(LOOK_EVERY);
    assert_eq!(told(&mut watch, &reader, 1).await, ["put green-one"]);
}

fn of_reader(team: &str) -> Role {
    let mut of_reader = role("of-red-reader", vec![]);
    of_reader.spec.allow.app_labels = Labels([("team".to_owned(), vec![team.to_owned()])].into());
    of_reader
}

impl Cluster {
    /// Somebody who reaches the applications of a team and no others.
    async fn reader_of(&self, team: &str) -> Caller {
        let admin = self.admin();
        roles::create(&self.auth, &admin, of_reader(team)).await.unwrap();
        users::create(&self.auth, &admin, user("red-reader", &["of-red-reader"])).await.unwrap();
        self.settle().await;
        self.again("red-reader").await
    }
}

#[tokio::test]
async fn watchers_read_anew_when_the_clock_was_set() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let right = auth.clock().now();
    let mut watch = open(auth, &admin, &kinds(&["role", "lock"]), false).await.unwrap();
    for (seconds, is_set) in [(30, false), (3600, true), (-3600, true), (-3570, false)] {
        cluster.clock.set(clock::Timestamp::from_second(right.as_second() + seconds).unwrap());
        roles::create(auth, &admin, role(&format!("after{seconds}"), vec![])).await.unwrap();
        match watch.next(&admin).await {
            Ok(told) => assert!(!is_set, "{seconds}: {told:?}"),
            Err(error) => {
                assert!(is_set && error.kind() == ErrorKind::Unavailable, "{seconds}: {error}");
                watch = open(auth, &admin, &kinds(&["role", "lock"]), false).await.unwrap();
            }
        }
    }
}
