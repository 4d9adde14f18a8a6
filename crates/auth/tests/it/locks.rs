//! Locks: whom they hit, who made them, which are listed.

use auth::locks::{self, Filter};
use clock::Timestamp;
use domain::{
    error::Kind,
    resources::{
        Lock,
        lock::{LockSpec, LockTarget},
    },
};
use store::ListRequest;

use crate::harness::Cluster;

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
    let held = cluster.join(&token, &crate::harness::Machine::new()).await.unwrap();
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
