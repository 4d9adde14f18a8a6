//! `GenerateUserCerts` as somebody uses it who wants more than is his.

use std::time::Duration;

use auth::{
    Auth, Caller, Issued,
    certificates::user::{UserCertificates, issue},
    locks, roles, users,
};
use domain::{
    Error,
    error::{Kind as ErrorKind, Reason},
    resources::{
        Role,
        lock::LockTarget,
        role::{ImpersonateConditions, Rule},
    },
};

use crate::{
    harness::{Cluster, Machine},
    locks::lock,
    people::{role, user},
};

fn request(username: &str) -> UserCertificates {
    UserCertificates {
        username: username.to_owned(),
        tls_key: Some(Machine::new().tls.public().clone()),
        ..UserCertificates::default()
    }
}

fn with_role(username: &str, role: &str) -> UserCertificates {
    UserCertificates { role_requests: vec![role.to_owned()], use_role_requests: true, ..request(username) }
}

fn impersonator(name: &str, users: &[&str], roles: &[&str]) -> Role {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut role = role(name, Vec::new());
    role.spec.allow.impersonate =
        Some(ImpersonateConditions { users: list(users), roles: list(roles), ..ImpersonateConditions::default() });
    role
}

async fn make(auth: &Auth, admin: &Caller, role: Role, users: &[&str]) {
    let name = role.metadata.name.clone();
    roles::create(auth, admin, role).await.unwrap();
    for holder in users {
        users::create(auth, admin, user(holder, &[&name])).await.unwrap();
    }
}

fn denied(what: &str, answer: Result<Issued, Error>) -> String {
    let error = answer.err().unwrap_or_else(|| panic!("{what}: was given"));
    assert_eq!(error.kind(), ErrorKind::Denied, "{what}: {error}");
    error.to_string()
}

/// A cluster in which `go` may take on role `go` and become `between`, who may become `end`.
async fn chain() -> Cluster {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    make(&cluster.auth, &admin, role("plain", Vec::new()), &["end"]).await;
    make(&cluster.auth, &admin, impersonator("step", &["end"], &["plain"]), &["between"]).await;
    make(&cluster.auth, &admin, impersonator("go", &["between", "end"], &["go", "step", "plain"]), &["go"]).await;
    cluster.settle().await;
    cluster
}

#[tokio::test]
async fn a_certificate_that_gets_no_other_one_gets_one_in_another_name() {
    let cluster = chain().await;
    let go = cluster.again("go").await;
    let output = cluster.caller(&issue(&cluster.auth, &go, with_role("go", "go")).await.unwrap()).unwrap();
    denied("its own name", issue(&cluster.auth, &output, request("go")).await);
    denied("another name", issue(&cluster.auth, &output, request("between")).await);
}

#[tokio::test]
async fn an_impersonator_is_forgotten_by_impersonating_once_more() {
    let cluster = chain().await;
    let go = cluster.again("go").await;
    let between = cluster.caller(&issue(&cluster.auth, &go, request("between")).await.unwrap()).unwrap();
    assert_eq!(between.identity().impersonator, "go");
    denied("the next name", issue(&cluster.auth, &between, request("end")).await);
    // The same user with a certificate of its own may.
    issue(&cluster.auth, &cluster.again("between").await, request("end")).await.unwrap();
}

#[tokio::test]
async fn a_refusal_tells_which_roles_exist() {
    let cluster = chain().await;
    let end = cluster.again("end").await;
    let there = denied("a role that is there", issue(&cluster.auth, &end, with_role("end", "step")).await);
    let absent = denied("a role that is not", issue(&cluster.auth, &end, with_role("end", "no-such-role")).await);
    assert_eq!(there, absent);
}

#[tokio::test]
async fn a_user_with_the_names_of_the_system_gets_its_permissions() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let name = admin.name().to_owned();
    make(&cluster.auth, &admin, role("@Admin", Vec::new()), &[&name]).await;
    make(&cluster.auth, &admin, impersonator("go", &["*"], &["*"]), &["go"]).await;
    cluster.settle().await;
    let issued = issue(&cluster.auth, &cluster.again("go").await, request(&name)).await.unwrap();
    // The administrator's permissions have just been asked for; whoever asks second must not be given the first one's.
    roles::get(&cluster.auth, &cluster.admin(), "go").await.unwrap();
    let namesake = cluster.caller(&issued).unwrap();
    let error = roles::get(&cluster.auth, &namesake, "go").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn control_characters_of_a_trait_or_a_route_reach_a_certificate() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let mut logins = role("logins", Vec::new());
    logins.spec.allow.logins = vec!["{{external.logins}}".into()];
    roles::create(&cluster.auth, &admin, logins).await.unwrap();
    let mut person = user("person", &["logins"]);
    let values = ["fine", "a\nroot", "nul\0", "esc\u{1b}[2J"].map(str::to_owned).to_vec();
    person.spec.traits.insert("logins".into(), values);
    users::create(&cluster.auth, &admin, person).await.unwrap();
    cluster.settle().await;
    let person = cluster.again("person").await;
    assert_eq!(person.identity().principals, ["fine"]);
    for route in ["other\nOU=1", "a/b", "a b"] {
        let request = UserCertificates { route_to_cluster: route.into(), ..request("person") };
        let error = issue(&cluster.auth, &person, request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{route:?}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_in_another_name_outlives_the_lock_and_the_end_of_whoever_took_it() {
    let cluster = chain().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let taken = issue(auth, &cluster.again("go").await, request("between")).await.unwrap();
    cluster.caller(&taken).unwrap();
    for aim in
        [|target: &mut LockTarget| target.user = "go".into(), |target: &mut LockTarget| target.role = "go".into()]
    {
        locks::upsert(auth, &admin, lock("l", aim)).await.unwrap();
        cluster.settle().await;
        let error = cluster.caller(&taken).unwrap_err();
        assert_eq!(error.reason, Some(Reason::Locked), "{error}");
        locks::delete(auth, &admin, "l").await.unwrap();
        cluster.settle().await;
        cluster.caller(&taken).unwrap();
    }
    users::delete(auth, &admin, "go").await.unwrap();
    cluster.settle().await;
    assert_eq!(cluster.caller(&taken).unwrap_err().reason, Some(Reason::UnknownUser));
}

#[tokio::test]
async fn a_role_that_has_expired_still_lets_its_holders_in() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut short = role("short", vec![Rule::new(["user"], ["list", "read"])]);
    short.metadata.expires = Some(auth.clock().now() + Duration::from_secs(60));
    make(auth, &admin, short, &["holder"]).await;
    cluster.settle().await;
    let issued = {
        let admin = cluster.admin();
        issue(auth, &admin, request("holder")).await.unwrap()
    };
    let before = auth.epoch();
    cluster.caller(&issued).unwrap();
    assert_eq!(auth.epoch(), before);
    cluster.clock.advance(Duration::from_secs(62));
    assert_ne!(auth.epoch(), before, "decisions on live connections are made again");
    assert_eq!(cluster.caller(&issued).unwrap_err().reason, Some(Reason::RoleMissing));
}

#[tokio::test]
async fn what_a_role_demands_and_nobody_checks_is_left_out_of_the_certificate() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut pinned = role("pinned", Vec::new());
    pinned.spec.options.pin_source_ip = true;
    make(auth, &admin, pinned, &["pinned"]).await;
    make(auth, &admin, role("plain", Vec::new()), &["plain"]).await;
    cluster.settle().await;
    let error = issue(auth, &admin, request("pinned")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "an administrator's socket has no address: {error}");
}
