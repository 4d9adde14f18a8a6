//! What others outside are told: revocation lists, explanations, the state of the cluster; and what is swept.

use auth::{
    access::explain::{Question, Subject, explain},
    locks,
    revocations::export::export,
    roles,
    status::status,
    users,
};
use domain::{
    error::Kind as ErrorKind,
    resources::role::{AccessRequestConditions, ImpersonateConditions, Role, RoleSpec, Rule},
};
use storage::{Backend as _, Batch, Key};

use crate::{
    harness::{Cluster, Machine},
    locks::lock,
    people::{role, user},
};

#[tokio::test]
async fn a_locked_instance_is_on_both_lists_by_its_serial_numbers() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let issued = cluster.join(&token, &Machine::new()).await.unwrap();
    let instance = cluster.caller(&issued).unwrap().identity().bot_instance_id.clone();
    let before = export(auth, &admin, "user", "krl").await.unwrap().remove(0);
    locks::upsert(auth, &admin, lock("l", |target| target.bot_instance_id = instance)).await.unwrap();
    let krl = export(auth, &admin, "user", "krl").await.unwrap().remove(0);
    let serial = issued.ssh.as_ref().unwrap().serial().to_be_bytes();
    let contains = |data: &[u8], part: &[u8]| data.windows(part.len()).any(|window| window == part);
    assert!(contains(&krl.data, &serial) && !contains(&before.data, &serial));
    let crl = export(auth, &admin, "user", "crl").await.unwrap().remove(0);
    let serial = hex::decode(issued.tls.as_ref().unwrap().serial_hex()).unwrap();
    assert!(contains(&crl.data, &serial));
    locks::upsert(auth, &admin, lock("u", |target| target.user = "bot-ci".into())).await.unwrap();
    let krl = export(auth, &admin, "", "krl").await.unwrap().remove(0);
    assert!(contains(&krl.data, b"bot-ci"), "the key id of the user");
    assert_eq!(export(auth, &admin, "jwt", "krl").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(export(auth, &admin, "user", "pdf").await.unwrap_err().kind(), ErrorKind::Invalid);
    let nobody = cluster.person("nobody", vec![]).await;
    assert_eq!(export(auth, &nobody, "user", "krl").await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn an_administrator_learns_why_and_the_denied_does_not() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let alice = cluster.person("alice", vec![Rule::new(["lock"], ["create"])]).await;
    let question = |subject, kind: &str| Question {
        subject,
        verb: "create".into(),
        kind: kind.into(),
        sub_kind: String::new(),
        name: String::new(),
    };
    let user = || Subject::User("alice".into());
    let allowed = explain(auth, &admin, question(user(), "lock")).await.unwrap();
    assert!(allowed.decision.allowed && allowed.to_string().contains("of-alice"), "{allowed}");
    assert!(!explain(auth, &admin, question(user(), "role")).await.unwrap().decision.allowed);
    let roles = Subject::Roles(vec!["of-alice".into()]);
    assert!(explain(auth, &admin, question(roles, "locks")).await.unwrap().decision.allowed);
    let missing = Subject::Roles(vec!["moon".into()]);
    assert_eq!(explain(auth, &admin, question(missing, "lock")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(explain(auth, &alice, question(user(), "lock")).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn what_is_no_verb_of_a_rule_is_explained_too() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut role = Role::new("helper", RoleSpec::default());
    role.spec.allow.impersonate = Some(ImpersonateConditions { roles: vec!["access".into()], ..Default::default() });
    role.spec.allow.request = Some(AccessRequestConditions {
        roles: vec!["edit*".into()],
        search_as_roles: vec!["access".into()],
        ..Default::default()
    });
    roles::create(auth, &admin, role).await.unwrap();
    let ask = async |verb: &str, kind: &str, name: &str| {
        let question = Question {
            subject: Subject::Roles(vec!["helper".into()]),
            verb: verb.into(),
            kind: kind.into(),
            sub_kind: String::new(),
            name: name.into(),
        };
        explain(auth, &admin, question).await
    };
    for (verb, name, allowed, place) in [
        ("impersonate", "access", true, "spec.allow.impersonate.roles"),
        ("impersonate", "editor", false, "spec.allow.impersonate.roles"),
        ("request", "editor", true, "spec.allow.request.roles"),
        ("request", "auditor", false, "spec.allow.request.roles"),
        ("search", "access", true, "spec.allow.request.search_as_roles"),
    ] {
        let explained = ask(verb, "role", name).await.unwrap();
        assert_eq!(explained.decision.allowed, allowed, "{verb} {name}: {explained}");
        assert!(explained.to_string().contains(place), "{verb} {name}: {explained}");
    }
    for (verb, kind, name) in
        [("impersonate", "user", "a"), ("reach", "role", "access"), ("request", "role", ""), ("smell", "role", "")]
    {
        assert_eq!(ask(verb, kind, name).await.unwrap_err().kind(), ErrorKind::Invalid, "{verb} {kind} {name}");
    }
    assert_eq!(ask("reach", "app", "moon").await.unwrap_err().kind(), ErrorKind::NotFound);
    // An application that nobody stored and an agent serves.
    let agent = crate::hosts::host(&cluster, domain::role::SystemRole::App, crate::hosts::HOST).await;
    let mut served = crate::announcing::server(&agent, "moon", "");
    served.spec.app.as_mut().unwrap().metadata.labels.insert("env".into(), "dev".into());
    auth::apps::servers::upsert(auth, &agent, served).await.unwrap();
    cluster.settle().await;
    let mut reaching = Role::new("helper", RoleSpec::default());
    reaching.spec.allow.app_labels = domain::form::Labels([("env".to_owned(), vec!["dev".to_owned()])].into());
    assert!(!ask("reach", "app", "moon").await.unwrap().decision.allowed);
    roles::upsert(auth, &admin, reaching).await.unwrap();
    cluster.settle().await;
    assert!(ask("reach", "app", "moon").await.unwrap().decision.allowed);
}

#[tokio::test]
async fn an_explanation_tells_what_exists_to_somebody_who_may_not_read_it() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let labelled = |mut role: Role| {
        role.metadata.labels.insert("show".into(), "yes".into());
        role
    };
    roles::create(auth, &admin, labelled(role("shown", vec![]))).await.unwrap();
    roles::create(auth, &admin, role("hidden", vec![])).await.unwrap();
    let mut shown = user("shown", &["shown"]);
    shown.metadata.labels.insert("show".into(), "yes".into());
    users::create(auth, &admin, shown).await.unwrap();
    users::create(auth, &admin, user("hidden", &["shown"])).await.unwrap();
    cluster.token("secret-token-1").await;
    let mut some = Rule::new(["user", "role"], ["read"]);
    some.condition = r#"equals(resource.metadata.labels["show"], "yes")"#.into();
    let helper = cluster.person("helper", vec![some]).await;
    let ask = async |subject: Subject, kind: &str, name: &str| {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let question = Question { subject, verb: "read".into(), kind, sub_kind: String::new(), name };
        let answer = explain(auth, &helper, question).await;
        answer.map(|_| ()).map_err(|error| (error.kind(), error.message))
    };
    let (user, roles) = (|name: &str| Subject::User(name.into()), |name: &str| Subject::Roles(vec![name.into()]));
    assert_eq!(ask(user("shown"), "lock", "").await, Ok(()));
    assert_eq!(ask(roles("shown"), "role", "shown").await, Ok(()));
    let denied = Err((ErrorKind::Denied, "access denied".to_owned()));
    for (subject, kind, names) in [
        (user("shown"), "role", ["hidden", "absent"]),
        (user("shown"), "user", ["hidden", "absent"]),
        (user("shown"), "token", ["secret-token-1", "secret-token-2"]),
        (user("shown"), "cert_authority", ["test.example", "absent"]),
    ] {
        for name in names {
            assert_eq!(ask(subject.clone(), kind, name).await, denied, "{kind} {name}");
        }
    }
    for name in ["hidden", "absent"] {
        assert_eq!(ask(user(name), "lock", "").await, denied, "user {name}");
        assert_eq!(ask(roles(name), "lock", "").await, denied, "role {name}");
    }
}

#[tokio::test]
async fn the_status_names_every_key_and_the_pin() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let status = status(auth, &admin).await.unwrap();
    assert_eq!(status.pins, [auth.host_certificates().unwrap()[0].pin()]);
    assert!(status.is_ready(), "{:?}", status.reasons);
    let host: Vec<_> = status.authorities.iter().filter(|key| key.ca_type.as_str() == "host").collect();
    assert_eq!(host.iter().map(|key| (key.key_use, key.is_active)).collect::<Vec<_>>(), [("ssh", true), ("tls", true)]);
    assert_eq!(host[1].fingerprint(), status.pins[0]);
}

#[tokio::test]
async fn what_has_expired_is_swept_when_the_clock_can_be_believed() {
    let cluster = Cluster::start().await;
    let minute = std::time::Duration::from_secs(60);
    for is_set in [false, true] {
        let now = cluster.auth.clock().now();
        let end = now.saturating_add(minute).unwrap();
        let batch = (0..50).fold(Batch::new(), |batch, n| batch.put(Key::new("test", format!("{n}")), "x", Some(end)));
        cluster.backend.batch(batch).await.unwrap();
        if is_set {
            cluster.clock.set(now.saturating_add(2 * minute).unwrap());
        }
        for minutes in 1..=16 {
            cluster.clock.advance(minute);
            cluster.settle().await;
            let expired = cluster.backend.expired(100).await.unwrap();
            let left = expired.iter().filter(|item| item.key.kind() == "test").count();
            // At once by a clock that went on as it should, and a quarter of an hour after somebody set it.
            match (is_set, minutes) {
                (false, _) | (true, 16) => assert_eq!(left, 0, "after {minutes} minutes"),
                (true, 15) => {}
                (true, _) => assert_eq!(left, 50, "after {minutes} minutes"),
            }
        }
    }
}
