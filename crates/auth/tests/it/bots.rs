//! Bots: bot, user and role come, change and go together.

use std::time::Duration;

use auth::bots::{self, Field};
use domain::{
    error::Kind,
    metadata,
    resources::{Bot, BotInstance, Lock, Role, User, bot::Trait},
};

use crate::{
    harness::{Cluster, Machine},
    people::user,
};

fn bot(name: &str, roles: &[&str]) -> Bot {
    let mut bot = Bot::new(name, Default::default());
    bot.spec.roles = roles.iter().map(|role| (*role).to_owned()).collect();
    bot
}

/// Whether the user and the role of the bot are there; both or none.
async fn has_derived(cluster: &Cluster, name: &str) -> bool {
    let name = Bot::resource_name(name);
    let user = cluster.auth.store().get::<User>(&name).await.unwrap();
    let role = cluster.auth.store().get::<Role>(&name).await.unwrap();
    assert_eq!(user.is_some(), role.is_some(), "{name}: one of the two only");
    user.is_some()
}

#[tokio::test]
async fn a_bot_comes_with_its_user_and_role_or_not_at_all() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let error = bots::create(auth, &admin, bot("ci", &["access", "nothing"])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!has_derived(&cluster, "ci").await);
    for bad in ["*", "^.*$", "{{internal.roles}}", ""] {
        let error = bots::create(auth, &admin, bot("ci", &[bad])).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{bad:?}");
    }
    auth::users::create(auth, &admin, user("bot-taken", &["access"])).await.unwrap();
    assert_eq!(bots::create(auth, &admin, bot("taken", &[])).await.unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(bots::get(auth, &admin, "taken").await.unwrap_err().kind(), Kind::NotFound);
    assert!(auth.store().get::<Role>("bot-taken").await.unwrap().is_none(), "a role was left behind");

    let made = bots::create(auth, &admin, bot("ci", &["access"])).await.unwrap();
    assert_eq!((made.status.user_name.as_str(), made.status.role_name.as_str()), ("bot-ci", "bot-ci"));
    assert_eq!(bots::get(auth, &admin, "ci").await.unwrap(), made);
    assert!(has_derived(&cluster, "ci").await);
    assert_eq!(bots::create(auth, &admin, bot("ci", &["access"])).await.unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(cluster.events().await.iter().filter(|event| *event == "bot.create").count(), 1);
}

#[tokio::test]
async fn a_change_of_a_bot_changes_its_user_and_role_in_the_fields_that_are_named() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let first = bots::create(auth, &admin, bot("ci", &["access"])).await.unwrap();
    let mut wanted = bot("ci", &["editor"]);
    wanted.spec.traits = vec![Trait { name: "logins".into(), values: vec!["root".into()] }];
    wanted.spec.max_session_ttl = Some(Duration::from_secs(3600));
    let second = bots::update(auth, &admin, &wanted, &[Field::Roles, Field::MaxSessionTtl]).await.unwrap();
    assert_eq!((second.spec.roles.as_slice(), second.spec.traits.len()), (&["editor".to_owned()][..], 0));
    let role = auth.store().fetch::<Role>("bot-ci").await.unwrap();
    assert_eq!(role.spec.options.max_session_ttl, Duration::from_secs(3600));
    assert_eq!(role.spec.allow.impersonate.unwrap().roles, ["editor"]);
    bots::update(auth, &admin, &wanted, &[Field::Traits]).await.unwrap();
    assert_eq!(auth.store().fetch::<User>("bot-ci").await.unwrap().spec.traits["logins"], ["root"]);

    assert_eq!(bots::update(auth, &admin, &wanted, &[]).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(bots::update(auth, &admin, &first, &[Field::Roles]).await.unwrap_err().kind(), Kind::Conflict);
    wanted.spec.roles = vec!["nothing".into()];
    assert_eq!(bots::update(auth, &admin, &wanted, &[Field::Roles]).await.unwrap_err().kind(), Kind::NotFound);
    let third = bots::upsert(auth, &admin, first).await.unwrap();
    assert_eq!(third.spec.roles, ["access"]);
    let fresh = bots::upsert(auth, &admin, bot("cd", &["access"])).await.unwrap();
    assert_eq!(bots::get(auth, &admin, "cd").await.unwrap(), fresh);
}

#[tokio::test]
async fn a_deleted_bot_leaves_no_user_no_role_and_no_instance_that_could_renew() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let caller = cluster.caller(&held).unwrap();
    let instance = caller.identity().bot_instance_id.clone();
    auth::locks::upsert(auth, &admin, crate::locks::lock("l", |target| target.user = "bot-ci".into())).await.unwrap();

    bots::delete(auth, &admin, "ci").await.unwrap();
    assert!(!has_derived(&cluster, "ci").await);
    assert!(auth.store().all::<BotInstance>().await.unwrap().is_empty());
    assert_eq!(auth.store().all::<Lock>().await.unwrap().len(), 1, "locks stay");
    let tombstone = auth.store().record(&storage::Key::new("tessera_tombstone", &instance)).await.unwrap();
    assert!(tombstone.is_some(), "no tombstone");
    cluster.settle().await;
    assert!(cluster.caller(&held).is_err(), "a deleted bot was let in");

    // A new bot of the same name is another bot.
    auth::locks::delete(auth, &admin, "l").await.unwrap();
    bots::create(auth, &admin, bot("ci", &["deployer"])).await.unwrap();
    cluster.settle().await;
    let again = cluster.join(&token, &Machine::new()).await;
    assert_eq!(again.unwrap_err().kind(), Kind::Denied);
    assert_eq!(bots::delete(auth, &admin, "gone").await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn what_lies_under_a_bots_name_and_is_not_its_own_is_not_deleted() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    bots::create(auth, &admin, bot("ci", &["access"])).await.unwrap();
    // As an older version, or a hand in the storage, could have left it.
    let mut foreign = auth.store().fetch::<User>("bot-ci").await.unwrap();
    foreign.metadata.labels.remove(metadata::BOT);
    auth.store().change().update(&foreign).unwrap().commit().await.unwrap();
    assert_eq!(bots::delete(auth, &admin, "ci").await.unwrap_err().kind(), Kind::Conflict);
    assert!(has_derived(&cluster, "ci").await);
}
