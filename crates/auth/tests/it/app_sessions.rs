//! Sessions with applications: who gets one, who can use it, and when it is over.

use std::{sync::Arc, time::Duration};

use auth::{
    Caller, Issued, Presented,
    app_sessions::{
        Holder, MOST_SESSIONS, SessionId,
        assertion::{assertion, assertion_for_user},
        create::{Cookie, Route, create},
        end::{end, end_all, end_all_of},
        fetch::fetch,
        list::list,
        live::live,
        report::{Report, Requests, Seen, report},
    },
    apps::servers,
    authorities,
    certificates::user::{UserCertificates, issue},
    locks, roles, users,
};
use domain::{
    Error, Resource as _,
    error::{Kind, Reason},
    form::Labels,
    resources::{
        App, AppServer, Role,
        app::{CommandLabel, Rewrite},
    },
    role::SystemRole,
};
use storage::{Backend as _, Batch, Key, Write};

use crate::{
    harness::{Cluster, Machine},
    hosts::{HOST, OTHER, host, host_token, join_as, names},
    locks::lock,
    people::{role, user},
};

const FROM: &str = "192.0.2.7:4711";

/// Where the ways to the sessions of whoever made them lie.
const BY: &str = "tessera_app_session_by";

fn route(app: &str) -> Route {
    Route { name: app.to_owned(), ..Route::default() }
}

fn application(name: &str, environment: &str) -> App {
    let mut app = App::new(name, Default::default());
    app.spec.uri = format!("http://127.0.0.1:8080/{name}");
    app.metadata.labels.insert("env".into(), environment.into());
    app
}

fn reaching(name: &str, environment: &str) -> Role {
    let mut role = role(name, Vec::new());
    role.spec.allow.app_labels = Labels([("env".to_owned(), vec![environment.to_owned()])].into());
    role
}

/// `grafana` (prod) and `debug` (dev), served by a host; `alice` reaches the first, `bob` the second.
pub(crate) async fn furnish(cluster: &Cluster) -> Caller {
    let (auth, admin) = (&*cluster.auth, cluster.admin());
    let agent = host(cluster, SystemRole::App, HOST).await;
    for (app, environment, person) in [("grafana", "prod", "alice"), ("debug", "dev", "bob")] {
        let mut server = AppServer::new(app, Default::default());
        server.spec.host_id = HOST.into();
        server.spec.app = Some(application(app, environment));
        server.set_defaults();
        servers::upsert(auth, &agent, server).await.unwrap();
        roles::create(auth, &admin, reaching(environment, environment)).await.unwrap();
        users::create(auth, &admin, user(person, &[environment])).await.unwrap();
    }
    cluster.settle().await;
    agent
}

/// A certificate that leads to an application.
async fn certificate(cluster: &Cluster, caller: &Caller, app: &str, machine: &Machine) -> Result<Issued, Error> {
    let request = UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        route_to_app: Some(route(app)),
        ..UserCertificates::default()
    };
    issue(&cluster.auth, caller, request).await
}

fn id_of(issued: &Issued) -> SessionId {
    let subject = issued.tls.as_ref().unwrap().subject().to_vec();
    let identity = domain::identity::Identity::from_subject(&subject).unwrap();
    SessionId::new(identity.route_to_app.session_id)
}

/// A session that is made and ended, for the list of operations.
pub(crate) async fn cookie(cluster: &Cluster) -> Result<(Caller, Cookie), Error> {
    furnish(cluster).await;
    let alice = cluster.again("alice").await;
    let cookie = create(&cluster.auth, &alice, "", route("grafana")).await?;
    Ok((alice, cookie))
}

#[tokio::test]
async fn a_certificate_for_an_application_comes_with_a_session_that_only_a_proxy_can_use() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let auth = &*cluster.auth;
    let (alice, machine) = (cluster.again("alice").await, Machine::new());
    let issued = certificate(&cluster, &alice, "grafana", &machine).await.unwrap();
    let id = id_of(&issued);
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let session = fetch(auth, &proxy, &id).await.unwrap();
    assert_eq!((session.user.as_str(), session.app.as_str(), session.sid), ("alice", "grafana", id.shown()));
    assert_eq!(session.holder, Holder::Key(machine.tls.public().sha256()), "whose key it is");
    let end = issued.tls.as_ref().unwrap().not_after();
    assert_eq!((session.not_after, session.certificate.not_after()), (end, end));
    let key = crypto::KeyPair::from_pkcs8_der(session.private_key.expose()).unwrap();
    assert_eq!(session.certificate.spki_der(), key.public().spki_der());
    assert_ne!(session.certificate.spki_der(), machine.tls.public().spki_der());
    assert_eq!(live(auth, &agent, &id).await.unwrap().map(|live| live.not_after), Some(end));

    // Neither certificate is good for anything else.
    for certificate in [issued.tls.clone().unwrap(), session.certificate] {
        let error = auth.authenticate(&Presented::Certificate(Arc::new(certificate)), FROM).unwrap_err();
        assert_eq!(error.reason, Some(Reason::WrongCertificate));
    }
    // The key lies under the seal of its id: who reads the store can do nothing with it.
    let stored = cluster.backend.range(&storage::Prefix::kind("tessera_app_session"), None, 10).await.unwrap();
    let text = String::from_utf8_lossy(&stored.items[0].value).into_owned();
    assert!(!text.contains(id.expose()) && !text.contains("PRIVATE"), "{text}");
}

#[tokio::test]
async fn who_cannot_reach_an_application_gets_no_session_and_does_not_learn_that_it_is_there() {
    let cluster = Cluster::start().await;
    furnish(&cluster).await;
    let bob = cluster.again("bob").await;
    for app in ["grafana", "nothing"] {
        let error = certificate(&cluster, &bob, app, &Machine::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.message), (Kind::NotFound, format!("app {app:?} not found")));
        let error = create(&cluster.auth, &bob, "", route(app)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    for (address, kind) in [("grafana.proxy.example", Kind::Invalid), ("debug.proxy.example\n", Kind::Invalid)] {
        let there = Route { public_addr: address.into(), ..route("debug") };
        assert_eq!(create(&cluster.auth, &bob, "", there).await.unwrap_err().kind(), kind, "{address:?}");
    }
    assert!(cluster.records("app.session.start").await.is_empty());
}

#[tokio::test]
async fn a_stolen_proxy_knows_the_sessions_that_it_has_seen_and_no_others() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let auth = &*cluster.auth;
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let alice = cluster.again("alice").await;
    let id = id_of(&certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap());
    let denied = |what: &str, answer: Result<(), Error>| {
        assert_eq!(answer.unwrap_err().kind(), Kind::Denied, "{what}");
    };
    for user in [None, Some("alice"), Some(proxy.name())] {
        denied("list", list(auth, &proxy, user, 0, "").await.map(drop));
        denied("list", list(auth, &agent, user, 0, "").await.map(drop));
    }
    for username in ["", "alice", proxy.name()] {
        denied("create", create(auth, &proxy, username, route("grafana")).await.map(drop));
        denied("create", create(auth, &agent, username, route("grafana")).await.map(drop));
    }
    denied("create", certificate(&cluster, &proxy, "grafana", &Machine::new()).await.map(drop));
    denied("end", end_all(auth, &proxy).await);
    denied("end", end_all_of(auth, &proxy, "alice").await);
    denied("assertion", assertion(auth, &proxy, &id, "grafana").await.map(drop));
    denied("assertion", assertion_for_user(auth, &proxy, "alice", "http://127.0.0.1:8080/grafana").await.map(drop));
    // What is to be had without the certificate or the cookie: what logs call it, the hash of it, the beginning of it.
    let hash = crypto::hash::sha256_hex(id.expose().as_bytes());
    for guess in ["", &id.shown(), &hash, &id.expose()[..32], &id.expose().to_uppercase(), "../", "*"] {
        let guess = SessionId::new(guess);
        assert_eq!(fetch(auth, &proxy, &guess).await.unwrap_err().kind(), Kind::NotFound, "{}", guess.expose());
        assert_eq!(live(auth, &proxy, &guess).await.unwrap(), None);
        assert_eq!(end(auth, &proxy, &guess).await.unwrap_err().kind(), Kind::NotFound);
    }
    fetch(auth, &proxy, &id).await.unwrap();
    // Nobody else fetches, whatever his rules are.
    let reader = domain::resources::role::Rule::new(["*"], ["*"]);
    let editor = cluster.person("editor", vec![reader]).await;
    for caller in [&agent, &alice, &editor, &Caller::anonymous(FROM)] {
        denied("fetch", fetch(auth, caller, &id).await.map(drop));
    }
    for caller in [&alice, &editor, &Caller::anonymous(FROM)] {
        denied("live", live(auth, caller, &id).await.map(drop));
        denied("assertion", assertion(auth, caller, &id, "grafana").await.map(drop));
    }
}

#[tokio::test]
async fn the_id_of_a_session_is_nowhere_but_in_its_certificate() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let auth = &*cluster.auth;
    let alice = cluster.again("alice").await;
    let id = id_of(&certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap());
    let cookie = create(auth, &alice, "", route("grafana")).await.unwrap();
    let bob = cluster.again("bob").await;
    assert_eq!(end(auth, &bob, &id).await.unwrap_err().kind(), Kind::Denied, "another user's");
    assert_eq!(end(auth, &bob, &SessionId::new("none")).await.unwrap_err().kind(), Kind::NotFound, "nobody's");
    let (shown, _) = list(auth, &cluster.admin(), None, 0, "").await.unwrap();
    let (own, _) = list(auth, &alice, Some("alice"), 0, "").await.unwrap();
    assert_eq!((shown.len(), own.len()), (2, 2));
    assert_eq!(list(auth, &bob, Some("alice"), 0, "").await.unwrap_err().kind(), Kind::Denied);
    assertion(auth, &agent, &id, "grafana").await.unwrap();
    end(auth, &alice, &id).await.unwrap();
    assert_eq!(end(auth, &alice, &id).await.unwrap_err().kind(), Kind::NotFound, "ended already");
    // Denials are recorded merged, off the commit path.
    cluster.clock.advance(Duration::from_secs(120));
    cluster.settle().await;
    let page = cluster.backend.journal_read(None, 1000).await.unwrap();
    let all = page.records.iter().map(|record| String::from_utf8_lossy(&record.entry.value).into_owned());
    let all = all.collect::<Vec<_>>().join("\n") + &format!("{shown:?} {own:?} {id:?} {cookie:?}");
    for secret in [id.expose(), cookie.id.expose(), cookie.bearer.expose()] {
        assert!(!all.contains(secret), "found in {all}");
    }
    assert!(all.contains(&id.shown()));
    let [start, end] = ["app.session.start", "app.session.end"].map(|name| cluster.records(name));
    let (start, end) = (start.await, end.await);
    assert_eq!((start.len(), end.len()), (2, 1));
    assert_eq!((&start[0]["sid"], &end[0]["sid"]), (&id.shown().into(), &id.shown().into()));
    assert_eq!((&start[0]["app_name"], &start[0]["user"]), (&"grafana".into(), &"alice".into()));
    for key in ["app_uri", "server_id", "user_kind", "user_roles", "user_cluster_name"] {
        assert_eq!(end[0][key], start[0][key], "{key}");
    }
    assert_eq!((&end[0]["app_uri"], &end[0]["server_id"]), (&"http://127.0.0.1:8080/grafana".into(), &HOST.into()));
    assert_eq!((&end[0]["user_kind"], &end[0]["user_roles"]), (&1.into(), &serde_json::json!(["prod"])));
}

#[tokio::test]
async fn no_session_is_made_for_a_port_that_the_application_does_not_have() {
    let cluster = Cluster::start().await;
    furnish(&cluster).await;
    let alice = cluster.again("alice").await;
    let there = Route { target_port: 99, ..route("grafana") };
    let refused = create(&cluster.auth, &alice, "", there).await.unwrap_err();
    assert_eq!((refused.kind(), refused.message.contains("no TCP application")), (Kind::Invalid, true), "{refused}");
    let request = UserCertificates {
        tls_key: Some(Machine::new().tls.public().clone()),
        route_to_app: Some(Route { target_port: 99, ..route("grafana") }),
        ..UserCertificates::default()
    };
    assert_eq!(issue(&cluster.auth, &alice, request).await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_session_ends_with_logout_lock_user_and_expiry() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let (auth, admin) = (&*cluster.auth, cluster.admin());
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let over = async |what: &str, id: &SessionId| {
        assert_eq!(live(auth, &agent, id).await.unwrap(), None, "{what}");
        assert_eq!(fetch(auth, &proxy, id).await.unwrap_err().kind(), Kind::NotFound, "{what}");
        assert_eq!(assertion(auth, &agent, id, "grafana").await.unwrap_err().kind(), Kind::NotFound, "{what}");
    };
    let begin = async || {
        let alice = cluster.again("alice").await;
        let id = id_of(&certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap());
        assert!(live(auth, &agent, &id).await.unwrap().is_some());
        (alice, id)
    };
    let (alice, id) = begin().await;
    end(auth, &alice, &id).await.unwrap();
    over("logout", &id).await;
    let (_, id) = begin().await;
    end(auth, &proxy, &id).await.unwrap();
    over("logout at the proxy", &id).await;
    let (alice, id) = begin().await;
    end_all_of(auth, &alice, "alice").await.unwrap();
    over("all of the user", &id).await;
    let (_, id) = begin().await;
    end_all(auth, &admin).await.unwrap();
    over("all", &id).await;

    let (_, id) = begin().await;
    for aim in [(|target| target.user = "alice".into()) as fn(&mut domain::resources::lock::LockTarget), |target| {
        target.role = "prod".into()
    }] {
        locks::upsert(auth, &admin, lock("l", aim)).await.unwrap();
        cluster.settle().await;
        over("lock", &id).await;
        locks::delete(auth, &admin, "l").await.unwrap();
        cluster.settle().await;
        assert!(live(auth, &agent, &id).await.unwrap().is_some());
    }
    // What a role denied would be lost with it, so nobody uses a session without it.
    for end in [Some(auth.clock().now()), None] {
        roles::upsert(auth, &admin, reaching("prod", "prod")).await.unwrap();
        cluster.settle().await;
        assert!(live(auth, &agent, &id).await.unwrap().is_some());
        match end {
            Some(end) => {
                let mut expired = reaching("prod", "prod");
                expired.metadata.expires = Some(end + Duration::from_secs(1));
                roles::upsert(auth, &admin, expired).await.unwrap();
            }
            None => {
                let gone = Batch::new().delete(Key::with_sub("role", "", "prod"));
                cluster.backend.batch(gone).await.unwrap();
            }
        }
        cluster.settle().await;
        cluster.clock.advance(Duration::from_secs(2));
        over("role gone", &id).await;
    }
    roles::upsert(auth, &admin, reaching("prod", "prod")).await.unwrap();
    cluster.settle().await;
    cluster.clock.advance(Duration::from_secs(60));
    users::delete(auth, &admin, "alice").await.unwrap();
    cluster.settle().await;
    over("user gone", &id).await;
    cluster.clock.advance(Duration::from_secs(60));
    users::create(auth, &admin, user("alice", &["prod"])).await.unwrap();
    cluster.settle().await;
    over("another user of that name", &id).await;

    let (_, id) = begin().await;
    let ends = live(auth, &agent, &id).await.unwrap().unwrap().not_after;
    cluster.clock.advance(ends.duration_since(auth.clock().now()).unsigned_abs() - Duration::from_secs(1));
    assert!(live(auth, &agent, &id).await.unwrap().is_some());
    cluster.clock.advance(Duration::from_secs(1));
    over("expiry", &id).await;
}

#[tokio::test]
async fn a_session_that_could_not_be_stored_leaves_no_certificate() {
    let is_session = |write: &Write| matches!(write, Write::Put { key, .. } if key.kind() == "tessera_app_session");
    let cluster = Cluster::raced(
        move |batch| batch.writes.iter().any(is_session),
        |_| Some(Batch::new().delete(Key::with_sub("user", "", "alice"))),
    )
    .await;
    furnish(&cluster).await;
    let alice = cluster.again("alice").await;
    assert!(certificate(&cluster, &alice, "grafana", &Machine::new()).await.is_err());
    assert!(cluster.records("app.session.start").await.is_empty());
    assert!(list(&cluster.auth, &cluster.admin(), None, 0, "").await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_cookie_holds_another_sort_of_session_than_a_certificate() {
    let cluster = Cluster::start().await;
    furnish(&cluster).await;
    let auth = &*cluster.auth;
    let alice = cluster.again("alice").await;
    let cookie = create(auth, &alice, "alice", route("grafana")).await.unwrap();
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let session = fetch(auth, &proxy, &cookie.id).await.unwrap();
    assert_eq!(session.holder, Holder::Bearer(crypto::hash::sha256(cookie.bearer.expose().as_bytes())));
    assert_eq!(create(auth, &alice, "bob", route("grafana")).await.unwrap_err().kind(), Kind::Denied);
    let page = list(auth, &alice, Some("alice"), 1, "").await.unwrap();
    assert_eq!((page.0.len(), page.1.as_str()), (1, ""));
    create(auth, &alice, "", route("grafana")).await.unwrap();
    let (one, next) = list(auth, &alice, Some("alice"), 1, "").await.unwrap();
    let (two, last) = list(auth, &alice, Some("alice"), 1, &next).await.unwrap();
    assert!(one[0].sid != two[0].sid && last.is_empty());
}

#[tokio::test]
async fn an_assertion_says_what_the_session_says_to_the_one_application() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let auth = &*cluster.auth;
    let alice = cluster.again("alice").await;
    let issued = certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap();
    let id = id_of(&issued);
    let authority = authorities::read::read(auth, &alice, "jwt", "", false).await.unwrap();
    let trusted = ca::authority::trusted_jwt_keys(&authority).unwrap();
    let signed = assertion(auth, &agent, &id, "grafana").await.unwrap();
    let claims = ca::jwt::verify(&signed.token, "JWT", &trusted).unwrap();
    let now = auth.clock().now().as_second();
    assert_eq!(
        (&claims["sub"], &claims["username"], &claims["iss"]),
        (&"alice".into(), &"alice".into(), &"test.example".into())
    );
    assert_eq!(claims["aud"], serde_json::json!(["http://127.0.0.1:8080/grafana"]));
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(now), Some(signed.expires.as_second())));
    assert_eq!(signed.expires, issued.tls.unwrap().not_after());
    assert_eq!((&claims["roles"], claims["traits"].is_object()), (&serde_json::json!(["prod"]), true));

    let by_user = assertion_for_user(auth, &agent, "alice", "http://127.0.0.1:8080/grafana").await.unwrap();
    assert_eq!(ca::jwt::verify(&by_user.token, "JWT", &trusted).unwrap()["sub"], "alice");
    for (user, uri, kind) in [
        ("bob", "http://127.0.0.1:8080/grafana", Kind::NotFound),
        ("alice", "http://127.0.0.1:8080/debug", Kind::NotFound),
        ("alice", "http://127.0.0.1:1", Kind::Denied),
    ] {
        assert_eq!(assertion_for_user(auth, &agent, user, uri).await.unwrap_err().kind(), kind, "{user} {uri}");
    }
    assert_eq!(
        assertion(auth, &agent, &id, "debug").await.unwrap_err().kind(),
        Kind::NotFound,
        "another application's"
    );
    // The newest one, and not more than is needed of those that are damaged.
    let by_user = async || assertion_for_user(auth, &agent, "alice", "http://127.0.0.1:8080/grafana").await.unwrap();
    cluster.clock.advance(Duration::from_secs(60));
    let alice = cluster.again("alice").await;
    let newer = id_of(&certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap());
    assert!(by_user().await.expires > signed.expires);
    let hash = crypto::hash::sha256_hex(newer.expose().as_bytes());
    let stored = Key::new("tessera_app_session", hash);
    let end = signed.expires + Duration::from_secs(60);
    let item = cluster.backend.get(&stored).await.unwrap().unwrap();
    let mut unsigned: serde_json::Value = serde_json::from_slice(&item.value).unwrap();
    unsigned["certificate"] = "none".into();
    for damaged in [serde_json::to_vec(&unsigned).unwrap(), b"{".to_vec()] {
        cluster.backend.batch(Batch::new().put(stored.clone(), damaged, Some(end))).await.unwrap();
        assert_eq!(by_user().await.expires, signed.expires);
    }
    // What leads to a session said nothing in versions before.
    let way = Key::with_sub("tessera_app_session_of", "alice", crypto::hash::sha256_hex(id.expose().as_bytes()));
    cluster.backend.batch(Batch::new().put(way, Vec::new(), Some(end))).await.unwrap();
    assert_eq!(by_user().await.expires, signed.expires);
    let other = host(&cluster, SystemRole::App, OTHER).await;
    assert_eq!(assertion(auth, &other, &id, "grafana").await.unwrap_err().kind(), Kind::Denied, "not its application");

    for (wanted, roles, traits) in [("roles", true, false), ("traits", false, true), ("none", false, false)] {
        let mut server = AppServer::new("grafana", Default::default());
        server.spec.host_id = HOST.into();
        let mut app = application("grafana", "prod");
        app.spec.rewrite = Some(Rewrite { jwt_claims: wanted.into(), ..Rewrite::default() });
        server.spec.app = Some(app);
        servers::upsert(auth, &agent, server).await.unwrap();
        cluster.settle().await;
        let token = assertion(auth, &agent, &id, "grafana").await.unwrap().token;
        let claims = ca::jwt::verify(&token, "JWT", &trusted).unwrap();
        assert_eq!((claims.get("roles").is_some(), claims.get("traits").is_some()), (roles, traits), "{wanted}");
    }
}

/// The server is started anew; what is recorded is counted from there.
async fn restart(cluster: Cluster) -> Cluster {
    let (backend, clock) = (Arc::clone(&cluster.backend), cluster.clock.clone());
    drop(cluster);
    let cluster = Cluster::over(backend, clock).await;
    cluster.settle().await;
    cluster
}

#[tokio::test]
async fn a_session_whose_time_is_over_leaves_its_end_within_seconds_and_once() {
    let mut cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    // Soon after the first start, and soon after another one.
    for is_restarted in [false, true] {
        let mut server = AppServer::new("grafana", Default::default());
        server.spec.host_id = HOST.into();
        server.spec.app = Some(application("grafana", "prod"));
        servers::upsert(&cluster.auth, &agent, server).await.unwrap();
        cluster.settle().await;
        let alice = cluster.again("alice").await;
        let issued = certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap();
        let until = issued.tls.as_ref().unwrap().not_after();
        let left = until.duration_since(cluster.auth.clock().now()).unsigned_abs();
        cluster.clock.advance(left - Duration::from_secs(2));
        cluster.settle().await;
        if is_restarted {
            cluster = restart(cluster).await;
        }
        let before = cluster.records("app.session.end").await.len();
        for _ in 0..8 {
            cluster.clock.advance(Duration::from_secs(1));
            cluster.settle().await;
        }
        let ends = cluster.records("app.session.end").await;
        assert_eq!((before, ends.len()), (0, 1), "{ends:?}");
        assert_eq!((&ends[0]["reason"], &ends[0]["sid"]), (&"expired".into(), &id_of(&issued).shown().into()));
        assert_eq!((&ends[0]["user"], &ends[0]["app_name"]), (&"alice".into(), &"grafana".into()));
        cluster = restart(cluster).await;
        for _ in 0..20 {
            cluster.clock.advance(Duration::from_secs(60));
            cluster.settle().await;
        }
        assert!(cluster.records("app.session.end").await.is_empty(), "told once more");
    }
}

#[tokio::test]
async fn agents_and_proxies_tell_of_the_sessions_that_they_were_shown_and_forge_nothing() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let auth = &*cluster.auth;
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let alice = cluster.again("alice").await;
    let issued = certificate(&cluster, &alice, "grafana", &Machine::new()).await.unwrap();
    let shown = issued.tls.clone().unwrap();
    let report_of = |certificate: &crypto::x509::Certificate, seen| Report {
        certificate: certificate.clone(),
        client: "192.0.2.9:1\n".into(),
        seen,
    };
    let requests = |path: &str| Requests { method: "GET".into(), path: path.into(), status: 200, count: 7 };
    let reports = vec![
        report_of(&shown, Seen::Chunk("chunk-1".into())),
        report_of(&shown, Seen::Requests("chunk-1".into(), vec![requests("/a"), requests(&"x".repeat(5000))])),
        report_of(&shown, Seen::Refused("the roles do not allow it".into())),
        report_of(&shown, Seen::Cut("lock".into())),
        report_of(&shown, Seen::Mismatch("for proxies only".into())),
    ];
    report(auth, &agent, reports).await.unwrap();
    let one = async |name: &str| cluster.records(name).await.pop().unwrap_or_else(|| panic!("no {name}"));
    for (name, code, key, value) in [
        ("app.session.chunk", "T2008I", "session_chunk_id", "chunk-1"),
        ("app.session.start", "T2007E", "error", "the roles do not allow it"),
        ("app.session.end", "T2011I", "reason", "lock"),
    ] {
        let record = one(name).await;
        assert_eq!((&record["code"], &record[key], &record["user"]), (&code.into(), &value.into(), &"alice".into()));
        assert_eq!((&record["server_id"], &record["sid"]), (&HOST.into(), &id_of(&issued).shown().into()));
        assert_eq!(record["app_uri"], "http://127.0.0.1:8080/grafana", "what this host announces");
        assert_eq!(record["addr.remote"], "192.0.2.9:1");
    }
    let told = cluster.records("app.session.request").await;
    assert_eq!((told.len(), &told[0]["count"], &told[0]["path"]), (2, &7.into(), &"/a".into()));
    assert!(told[1]["path"].as_str().unwrap().len() <= 256);
    assert!(cluster.records("auth").await.is_empty(), "an agent sees no mismatch");

    // A certificate of anybody else: passed over. A person, and a host that is none of these: denied.
    let others = Cluster::start().await;
    furnish(&others).await;
    let foreign = certificate(&others, &others.again("alice").await, "grafana", &Machine::new()).await.unwrap();
    let third = "2d1e8f5c-0000-4000-8000-000000000003";
    host_token(&cluster, "third", &[SystemRole::App]).await;
    let of_host = join_as(auth, "third", SystemRole::App, names(third)).await.unwrap();
    let key = Some(Machine::new().tls.public().clone());
    let without = issue(auth, &alice, UserCertificates { tls_key: key, ..UserCertificates::default() }).await.unwrap();
    let before = cluster.events().await.len();
    for wrong in [foreign.tls, of_host.tls, without.tls].map(Option::unwrap) {
        report(auth, &agent, vec![report_of(&wrong, Seen::Chunk("x".into()))]).await.unwrap();
    }
    report(auth, &proxy, vec![report_of(&shown, Seen::Cut("x".into()))]).await.unwrap();
    assert_eq!(cluster.events().await.len(), before);
    let node = host(&cluster, SystemRole::Node, "3d1e8f5c-0000-4000-8000-000000000001").await;
    for caller in [&alice, &node, &Caller::anonymous(FROM)] {
        assert_eq!(report(auth, caller, Vec::new()).await.unwrap_err().kind(), Kind::Denied);
    }
    let many = (0..=auth::app_sessions::report::MOST).map(|_| report_of(&shown, Seen::Cut(String::new()))).collect();
    assert_eq!(report(auth, &agent, many).await.unwrap_err().kind(), Kind::Limit);
    let many = (0..100).map(|_| report_of(&shown, Seen::Cut("many".into()))).collect();
    report(auth, &agent, many).await.unwrap();
    assert_eq!(cluster.records("app.session.end").await.len(), 101);

    report(auth, &proxy, vec![report_of(&shown, Seen::Mismatch("another key".into()))]).await.unwrap();
    let record = one("auth").await;
    assert_eq!((&record["code"], &record["user"]), (&"T3007W".into(), &"alice".into()));
    assert!(record["error"].as_str().unwrap().contains("another key"), "{record}");
}

#[tokio::test]
async fn what_a_command_printed_is_a_label_and_takes_no_fixed_ones_place() {
    let cluster = Cluster::start().await;
    let agent = furnish(&cluster).await;
    let label = |result: &str| CommandLabel { result: result.into(), ..CommandLabel::default() };
    for (name, environment, printed) in [("by-command", "", "prod"), ("fixed", "dev", "prod")] {
        let mut app = application(name, environment);
        if environment.is_empty() {
            app.metadata.labels.remove("env");
        }
        app.spec.dynamic_labels.insert("env".into(), label(printed));
        let mut server = AppServer::new(name, Default::default());
        server.spec.host_id = HOST.into();
        server.spec.app = Some(app);
        servers::upsert(&cluster.auth, &agent, server).await.unwrap();
    }
    cluster.settle().await;
    let alice = cluster.again("alice").await;
    certificate(&cluster, &alice, "by-command", &Machine::new()).await.unwrap();
    let error = certificate(&cluster, &alice, "fixed", &Machine::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn sessions_without_end_are_made_by_nobody() {
    // Each batch waits a moment: many at once have all decided before the first one is applied.
    let cluster = Cluster::raced(|_| false, |_| None).await;
    furnish(&cluster).await;
    let (alice, bob) = (cluster.again("alice").await, cluster.again("bob").await);
    let other = create(&cluster.auth, &bob, "", route("debug")).await.unwrap();
    let first = create(&cluster.auth, &alice, "", route("grafana")).await.unwrap();
    for _ in 1..MOST_SESSIONS {
        cluster.clock.advance(Duration::from_millis(10));
        create(&cluster.auth, &alice, "", route("grafana")).await.unwrap();
    }
    let proxy = host(&cluster, SystemRole::Proxy, OTHER).await;
    let lives = async |cookie: &Cookie| live(&cluster.auth, &proxy, &cookie.id).await.unwrap().is_some();
    assert!(lives(&first).await);
    let newest = create(&cluster.auth, &alice, "", route("grafana")).await.unwrap();
    assert!(!lives(&first).await, "the oldest ends");
    assert!(lives(&newest).await && lives(&other).await, "nobody else's");
    let ended = cluster.records("app.session.end").await;
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0]["sid"].as_str(), ended[0]["reason"].as_str()),
        (Some(first.id.shown().as_str()), Some("too many sessions"))
    );

    // Nor by somebody who asks for many at one moment.
    const AT_ONCE: usize = 24;
    let made = (0..AT_ONCE).map(|_| create(&cluster.auth, &alice, "", route("grafana")));
    for made in futures_util::future::join_all(made).await {
        assert!(lives(&made.unwrap()).await);
    }
    let ended = cluster.records("app.session.end").await;
    let once: std::collections::BTreeSet<_> = ended.iter().map(|end| end["sid"].as_str().unwrap()).collect();
    assert_eq!((ended.len(), once.len()), (1 + AT_ONCE, 1 + AT_ONCE), "each ends once");
    let of_alice = async || cluster.backend.range(&storage::Prefix::sub(BY, "alice"), None, 1000).await.unwrap().items;
    assert_eq!(of_alice().await.len(), MOST_SESSIONS);

    // There are more than too many, as before this was counted in the same change: they become fewer.
    let batch = (0..20).fold(Batch::new(), |batch, number| {
        batch.put(Key::with_sub(BY, "alice", format!("z{number}")), "2099-01-01T00:00:00Z", None)
    });
    cluster.backend.batch(batch).await.unwrap();
    for left in [513, 506, MOST_SESSIONS, MOST_SESSIONS] {
        create(&cluster.auth, &alice, "", route("grafana")).await.unwrap();
        assert_eq!(of_alice().await.len(), left);
    }
}
