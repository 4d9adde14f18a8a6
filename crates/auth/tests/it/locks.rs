//! Locks: whom they hit, who made them, which are listed.

use std::time::Duration;

use auth::{
    Caller, Issued,
    certificates::user::{UserCertificates, issue},
    cluster_config::{read::read, upsert::upsert},
    locks::{self, Filter},
    revocations::export::export,
    roles, users,
};
use clock::Timestamp;
use domain::{
    Error,
    error::{Kind, Reason},
    resources::{
        AuthPreference, Lock,
        lock::{LockSpec, LockTarget},
    },
};
use store::ListRequest;

use crate::{
    harness::{Cluster, Machine},
    people::{role, user},
    renewal::in_grace,
};

pub(crate) fn lock(name: &str, aim: impl FnOnce(&mut LockTarget)) -> Lock {
    let mut lock = Lock::new(name, LockSpec::default());
    aim(&mut lock.spec.target);
    lock
}

#[tokio::test]
async fn a_lock_shuts_out_and_its_removal_lets_in_again() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let mut asked = lock("l", |target| target.user = "bot-ci".into());
    asked.spec.message = "stolen".into();
    asked.spec.created_by = "mallory".into();
    let stored = locks::upsert(auth, &admin, asked).await.unwrap();
    assert_eq!((stored.spec.created_by.as_str(), stored.spec.created_at), (admin.name(), Some(auth.clock().now())));
    cluster.settle().await;
    let error = cluster.caller(&held).unwrap_err();
    assert_eq!(error.message, r#"lock targeting User:"bot-ci" is in force: stolen"#);
    locks::delete(auth, &admin, "l").await.unwrap();
    cluster.settle().await;
    cluster.caller(&held).unwrap();
    let events = cluster.events().await;
    assert!(events.contains(&"lock.created".to_owned()) && events.contains(&"lock.deleted".to_owned()), "{events:?}");
    assert_eq!(locks::upsert(auth, &admin, lock("empty", |_| {})).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(locks::get(auth, &admin, "l").await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn locks_are_listed_by_target_and_by_being_in_force() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut ended = lock("ended", |target| target.user = "alice".into());
    ended.spec.expires = Some(Timestamp::from_second(1).unwrap());
    let both = lock("both", |target| (target.user, target.role) = ("alice".into(), "dev".into()));
    for made in [ended, both, lock("other", |target| target.user = "bob".into())] {
        locks::upsert(auth, &admin, made).await.unwrap();
    }
    let names = async |targets: Vec<LockTarget>, in_force_only| {
        let filter = Filter { targets, in_force_only };
        let page = locks::list(auth, &admin, ListRequest::default(), &filter).await.unwrap();
        page.items.into_iter().map(|lock| lock.metadata.name).collect::<Vec<_>>().join(" ")
    };
    let user = |name: &str| LockTarget { user: name.into(), ..LockTarget::default() };
    assert_eq!(names(vec![], false).await, "both ended other");
    assert_eq!(names(vec![], true).await, "both other");
    assert_eq!(names(vec![user("alice")], false).await, "both ended");
    assert_eq!(names(vec![LockTarget { role: "dev".into(), ..user("alice") }, user("bob")], true).await, "both other");
    assert_eq!(names(vec![LockTarget::default()], false).await, "");
}

#[tokio::test]
async fn a_lock_on_a_join_token_tells_the_log_the_token() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let secret = "0123456789abcdef0123456789abcdef";
    locks::upsert(auth, &admin, lock("l", |target| target.join_token = secret.into())).await.unwrap();
    let records = cluster.records("lock.created").await;
    assert_eq!(records.len(), 1);
    assert!(!records[0].to_string().contains(secret), "{}", records[0]);
    assert!(records[0].to_string().contains("89abcdef"), "which token it was can be told: {}", records[0]);
}

async fn ask(cluster: &Cluster, caller: &Caller, machine: &Machine, roles: &[&str]) -> Result<Issued, Error> {
    let request = UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        ssh_key: Some(machine.ssh.public().clone()),
        role_requests: roles.iter().map(|&role| role.to_owned()).collect(),
        use_role_requests: !roles.is_empty(),
        ..UserCertificates::default()
    };
    issue(&cluster.auth, caller, request).await
}

fn why<T>(answer: Result<T, Error>) -> Option<Reason> {
    answer.err().and_then(|error| error.reason)
}

#[tokio::test]
async fn a_bot_goes_on_though_the_token_that_it_joined_with_is_locked() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let (joined, renewed) = (Machine::new(), Machine::new());
    let first = cluster.join(&token, &joined).await.unwrap();
    let caller = cluster.caller(&first).unwrap();
    let output = ask(&cluster, &caller, &Machine::new(), &["deployer"]).await.unwrap();
    // The other answers that may be asked for again: of a renewal, and of a join.
    let second = ask(&cluster, &caller, &renewed, &[]).await.unwrap();
    let (other_token, other_machine) = (cluster.token("secret-token-2").await, Machine::new());
    let other = cluster.join(&other_token, &other_machine).await.unwrap();

    for (name, locked) in [("l1", &token), ("l2", &other_token)] {
        locks::upsert(auth, &admin, lock(name, |target| target.join_token = locked.clone())).await.unwrap();
    }
    cluster.settle().await;
    for (what, held) in [("bot", &first), ("renewed bot", &second), ("output", &output), ("other bot", &other)] {
        let error = cluster.caller(held).unwrap_err();
        assert_eq!(error.reason, Some(Reason::Locked), "{what}");
        assert!(!error.message.contains(&token), "{what} reads the token: {}", error.message);
    }
    // Decided before the lock, on its way since.
    assert_eq!(why(ask(&cluster, &caller, &renewed, &[]).await), Some(Reason::Locked), "the answer of a renewal");
    assert_eq!(why(ask(&cluster, &caller, &Machine::new(), &["deployer"]).await), Some(Reason::Locked), "an output");
    assert_eq!(why(cluster.join(&other_token, &other_machine).await), Some(Reason::Locked), "the answer of a join");
    assert_eq!(why(in_grace(&cluster, &second, &renewed, &Machine::new()).await), Some(Reason::Locked), "the grace");
    let krl = export(auth, &admin, "user", "krl").await.unwrap().remove(0).data;
    for issued in [&first, &second, &output, &other] {
        let serial = issued.ssh.as_ref().unwrap().serial().to_be_bytes();
        assert!(krl.windows(serial.len()).any(|window| window == serial), "not on the revocation list");
    }

    let third = cluster.token("secret-token-3").await;
    let unhit = cluster.join(&third, &Machine::new()).await.unwrap();
    cluster.caller(&unhit).expect("another instance of the same bot");
    for name in ["l1", "l2"] {
        locks::delete(auth, &admin, name).await.unwrap();
    }
    cluster.settle().await;
    let caller = cluster.caller(&second).unwrap();
    assert!(ask(&cluster, &caller, &Machine::new(), &[]).await.is_ok());
    for event in cluster.records("cert.create").await {
        assert!(!event.to_string().contains(&token), "{event}");
    }
}

#[tokio::test]
async fn a_renewed_bot_escapes_the_lock_on_its_token() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let mut held = cluster.join(&token, &Machine::new()).await.unwrap();
    // As after a restore, when nothing but the certificate knows what it joined with.
    let instance = cluster.caller(&held).unwrap().identity().bot_instance_id.clone();
    cluster.forget_instance(&instance).await;
    for _ in 0..3 {
        held = ask(&cluster, &cluster.caller(&held).unwrap(), &Machine::new(), &[]).await.unwrap();
    }
    let caller = cluster.caller(&held).unwrap();
    locks::upsert(auth, &admin, lock("l", |target| target.join_token = token)).await.unwrap();
    cluster.settle().await;
    assert_eq!(why(ask(&cluster, &caller, &Machine::new(), &[]).await), Some(Reason::Locked));
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_locks_look_fresh() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    // Nobody tells the cache anything while this test does not wait.
    let falls_behind = || {
        let now = auth.clock().now();
        cluster.clock.advance(rbac::locks::STALE_AFTER + Duration::from_secs(1));
        cluster.clock.set(now.saturating_sub(Duration::from_secs(60)).unwrap());
        cluster.caller(&held).map(|_| ()).map_err(|error| error.kind())
    };
    assert!(cluster.metrics().contains("\ntessera_auth_stale_decisions_total 0\n"), "{}", cluster.metrics());
    assert_eq!(falls_behind(), Ok(()), "the mode is best effort");
    assert!(cluster.metrics().contains("\ntessera_auth_stale_decisions_total 1\n"), "{}", cluster.metrics());
    let mut preference = read::<AuthPreference>(auth, &admin).await.unwrap();
    preference.spec.locking_mode = "strict".into();
    upsert(auth, &admin, preference).await.unwrap();
    cluster.settle().await;
    assert_eq!(cluster.caller(&held).map(|_| ()).map_err(|error| error.kind()), Ok(()), "fresh");
    assert_eq!(falls_behind(), Err(Kind::Unavailable));
}

#[tokio::test]
async fn a_role_that_is_strict_about_locks_is_taken_as_the_cluster_is() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    cluster.person("lax", vec![]).await;
    let mut strict = role("of-strict", vec![]);
    strict.spec.options.lock = "strict".into();
    roles::create(auth, &admin, strict).await.unwrap();
    users::create(auth, &admin, user("strict", &["of-strict"])).await.unwrap();
    cluster.settle().await;
    let mut held = Vec::new();
    for name in ["lax", "strict"] {
        let request = UserCertificates {
            username: name.into(),
            tls_key: Some(Machine::new().tls.public().clone()),
            ..UserCertificates::default()
        };
        held.push(issue(auth, &admin, request).await.unwrap());
    }
    cluster.clock.advance(rbac::locks::STALE_AFTER + Duration::from_secs(1));
    assert!(cluster.caller(&held[0]).is_ok());
    assert_eq!(cluster.caller(&held[1]).unwrap_err().kind(), Kind::Unavailable);
}
