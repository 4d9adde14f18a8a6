//! Users: their roles, their secrets, bots' users, invitations.

use std::time::Duration;

use auth::{
    Caller, bots,
    certificates::user::{UserCertificates, issue},
    users::{self, Filter, Purpose, Which},
};
use domain::{
    error::{Kind, Reason},
    form::SecretBytes,
    metadata,
    resources::{Bot, role::Rule, user::LocalAuth},
};
use store::ListRequest;

use crate::{
    harness::{Cluster, Machine},
    people::user,
    renewal::in_grace,
};

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

    // Not by any rule: a role that reads users is no key to their passwords.
    let editor = cluster.person("editor", vec![Rule::new(["*"], ["*"])]).await;
    assert!(users::get(auth, &editor, Which::Named("bob"), false).await.unwrap().spec.local_auth.is_none());
    assert_eq!(users::get(auth, &editor, Which::Named("bob"), true).await.unwrap_err().kind(), Kind::Denied);
    let list = users::list(auth, &editor, ListRequest::default(), &EVERYBODY, true);
    assert_eq!(list.await.unwrap_err().kind(), Kind::Denied);

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
    // Who has the link may read it, and nobody finds one by asking.
    let bob = cluster.person("bob", vec![]).await;
    let read = users::invitation(auth, &bob, made.token.expose()).await.unwrap();
    assert_eq!((read.user.as_str(), read.purpose, read.created), ("alice", Purpose::Invite, made.created));
    assert_eq!((read.url.expose(), read.expires), (&url, made.expires));
    let gone = async |token: &str| users::invitation(auth, &bob, token).await.unwrap_err().kind();
    assert_eq!(gone("00000000000000000000000000000000").await, Kind::NotFound);
    let stranger = Caller::anonymous("192.0.2.1:1");
    let error = users::invitation(auth, &stranger, made.token.expose()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let records = cluster.records("reset_password_token.create").await;
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["ttl"], "1h0m0s", "as Go writes a duration");
    assert!(!format!("{records:?}").contains(made.token.expose().as_str()), "the link is in the audit log");

    // It is for that user, not for the next one of the name.
    cluster.clock.advance(Duration::from_secs(60));
    users::delete(auth, &admin, "alice").await.unwrap();
    assert_eq!(gone(made.token.expose()).await, Kind::NotFound);
    users::create(auth, &admin, user("alice", &["access"])).await.unwrap();
    assert_eq!(gone(made.token.expose()).await, Kind::NotFound);
}

#[tokio::test]
async fn a_certificate_revives_with_the_next_user_of_its_name() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let certificate = async || {
        let tls_key = Some(Machine::new().tls.public().clone());
        let request = UserCertificates { username: "alice".into(), tls_key, ..UserCertificates::default() };
        issue(auth, &admin, request).await.unwrap()
    };
    users::create(auth, &admin, user("alice", &["access"])).await.unwrap();
    cluster.settle().await;
    let old = certificate().await;
    cluster.caller(&old).unwrap();
    cluster.clock.advance(Duration::from_secs(60));
    // A change of the user leaves its certificates alone.
    users::upsert(auth, &admin, user("alice", &["editor"])).await.unwrap();
    cluster.settle().await;
    cluster.caller(&old).unwrap();
    users::delete(auth, &admin, "alice").await.unwrap();
    users::create(auth, &admin, user("alice", &["editor"])).await.unwrap();
    cluster.settle().await;
    let error = cluster.caller(&old).unwrap_err();
    assert_eq!((error.kind(), error.reason), (Kind::Denied, Some(Reason::UnknownUser)));
    cluster.caller(&certificate().await).unwrap();
}

#[tokio::test]
async fn a_bot_made_again_is_another_bot() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    bots::delete(auth, &admin, "ci").await.unwrap();
    let mut ci = Bot::new("ci", Default::default());
    ci.spec.roles = vec!["deployer".into()];
    bots::create(auth, &admin, ci.clone()).await.unwrap();
    cluster.settle().await;
    let machine = Machine::new();
    let old = cluster.join(&cluster.token("first").await, &machine).await.unwrap();
    cluster.caller(&old).unwrap();
    cluster.clock.advance(Duration::from_secs(60));
    // A renewal is as good as a first certificate.
    let tls_key = Some(Machine::new().tls.public().clone());
    let ssh_key = Some(Machine::new().ssh.public().clone());
    let request = UserCertificates { tls_key, ssh_key, ..UserCertificates::default() };
    let renewed = issue(auth, &cluster.caller(&old).unwrap(), request).await.unwrap();
    cluster.caller(&renewed).unwrap();
    cluster.clock.advance(Duration::from_secs(60));
    bots::delete(auth, &admin, "ci").await.unwrap();
    bots::create(auth, &admin, ci).await.unwrap();
    cluster.settle().await;
    for certificate in [&old, &renewed] {
        assert_eq!(cluster.caller(certificate).unwrap_err().reason, Some(Reason::UnknownUser));
        let error = in_grace(&cluster, certificate, &machine, &Machine::new()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
    }
    let new = cluster.join(&cluster.token("second").await, &Machine::new()).await.unwrap();
    cluster.caller(&new).unwrap();
}
