//! Users: their roles, their secrets, bots' users, invitations.

use std::time::Duration;

use auth::users::{self, Filter, Purpose, Which};
use domain::{
    error::Kind,
    form::SecretBytes,
    metadata,
    resources::{role::Rule, user::LocalAuth},
};
use store::ListRequest;

use crate::{harness::Cluster, people::user};

#[tokio::test]
async fn a_user_has_only_roles_that_exist() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let error = users::create(auth, &admin, user("alice", &["nothing"])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.message.contains("nothing"), "{}", error.message);
    let first = users::create(auth, &admin, user("alice", &["access"])).await.unwrap();
    assert_eq!(first.spec.created_by.user.name, admin.name());
    assert_eq!(users::create(auth, &admin, user("alice", &["access"])).await.unwrap_err().kind(), Kind::AlreadyExists);
    let mut second = first.clone();
    second.spec.created_by.user.name = "mallory".into();
    second.spec.roles = vec!["editor".into(), "editor".into()];
    let second = users::update(auth, &admin, second).await.unwrap();
    assert_eq!(second.spec.created_by, first.spec.created_by);
    assert_eq!(users::update(auth, &admin, first).await.unwrap_err().kind(), Kind::Conflict);
    users::delete(auth, &admin, "alice").await.unwrap();
    let error = users::get(auth, &admin, Which::Named("alice"), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn secrets_leave_only_for_those_who_may_read_everything() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut bob = user("bob", &["access"]);
    bob.spec.local_auth = Some(LocalAuth { password_hash: SecretBytes::new(b"hash".to_vec()), ..LocalAuth::default() });
    let shown = users::create(auth, &admin, bob).await.unwrap();
    assert!(shown.spec.local_auth.is_none());
    // Writing back what was shown without secrets takes none away.
    users::update(auth, &admin, shown).await.unwrap();
    let whole = users::get(auth, &admin, Which::Named("bob"), true).await.unwrap();
    assert!(whole.spec.local_auth.is_some());

    let alice = cluster.person("alice", vec![Rule::new(["user"], ["list", "readnosecrets"])]).await;
    let list = |with_secrets| users::list(auth, &alice, ListRequest::default(), &EVERYBODY, with_secrets);
    assert!(list(false).await.unwrap().items.iter().all(|user| user.spec.local_auth.is_none()));
    assert_eq!(list(true).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(users::get(auth, &alice, Which::Named("bob"), true).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(users::get(auth, &alice, Which::Current, true).await.unwrap_err().kind(), Kind::Denied);

    let carol = cluster.person("carol", vec![]).await;
    assert_eq!(users::get(auth, &carol, Which::Current, false).await.unwrap().metadata.name, "carol");
    assert_eq!(users::get(auth, &carol, Which::Named("bob"), false).await.unwrap_err().kind(), Kind::Denied);
}

static EVERYBODY: std::sync::LazyLock<Filter> = std::sync::LazyLock::new(Filter::default);

#[tokio::test]
async fn the_user_of_a_bot_changes_with_its_bot_only() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let of_bot = users::get(auth, &admin, Which::Named("bot-ci"), false).await.unwrap();
    assert_eq!(users::update(auth, &admin, of_bot.clone()).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(users::upsert(auth, &admin, user("bot-ci", &["editor"])).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(users::delete(auth, &admin, "bot-ci").await.unwrap_err().kind(), Kind::Invalid);
    let mut posing = user("posing", &["access"]);
    posing.metadata.labels.insert(metadata::BOT.into(), "ci".into());
    assert_eq!(users::create(auth, &admin, posing).await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_link_is_recorded_and_lives_as_long_as_its_purpose_allows() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    users::create(auth, &admin, user("alice", &["access"])).await.unwrap();
    let made = users::invite(auth, &admin, "alice", Purpose::Invite, None).await.unwrap();
    assert_eq!(made.expires.duration_since(made.created).as_secs(), 3600);
    let url = format!("https://test.example/web/invite/{}", made.token.expose());
    assert_eq!(made.url.expose(), &url);
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    for (purpose, life, is_good) in [
        (Purpose::Invite, hours(48), true),
        (Purpose::Invite, hours(49), false),
        (Purpose::Reset, hours(24), true),
        (Purpose::Reset, hours(25), false),
    ] {
        assert_eq!(users::invite(auth, &admin, "alice", purpose, life).await.is_ok(), is_good, "{purpose:?} {life:?}");
    }
    let records = cluster.records("reset_password_token.create").await;
    assert_eq!(records.len(), 3);
    assert!(!format!("{records:?}").contains(made.token.expose().as_str()), "the link is in the audit log");
}
