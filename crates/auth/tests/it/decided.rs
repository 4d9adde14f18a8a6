//! A change happens to what it was decided on, or is decided again: somebody else writes in the worst moment.

use auth::{
    bots,
    certificates::user::{UserCertificates, issue},
    locks, roles, tokens, users,
};
use domain::{
    Stored,
    error::Kind,
    metadata,
    resources::{Bot, Lock, Role, Token, User, role::Rule},
};
use futures_util::FutureExt as _;
use storage::{Backend as _, Batch, Key, Write, memory::Memory};
use store::Keyed;

use crate::{
    harness::{Cluster, Machine},
    locks::lock,
    people::{role, user},
};

fn deletes(batch: &Batch, kind: &str) -> bool {
    batch.writes.iter().any(|write| matches!(write, Write::Delete { key } if key.kind() == kind))
}

fn puts(batch: &Batch, kind: &str) -> bool {
    batch.writes.iter().any(|write| matches!(write, Write::Put { key, .. } if key.kind() == kind))
}

fn put<T: Keyed>(resource: T) -> Batch {
    let key = resource.key();
    Batch::new().put(key, Stored::new(resource).encode().unwrap(), None)
}

fn stored<T: Keyed>(store: &Memory, key: &Key) -> Option<T> {
    let item = store.get(key).now_or_never()?.unwrap()?;
    Some(Stored::<T>::decode(&item.value).unwrap().value)
}

#[tokio::test]
async fn a_lock_is_removed_that_was_aimed_at_somebody_else_meanwhile() {
    let aimed = |user: &str| lock("l", |target| target.user = user.to_owned());
    let other = aimed("other");
    let cluster = Cluster::raced(|batch| deletes(batch, "lock"), move |_| Some(put(other.clone()))).await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    locks::upsert(auth, &admin, aimed("one")).await.unwrap();
    locks::delete(auth, &admin, "l").await.unwrap();
    assert!(auth.store().get::<Lock>("l").await.unwrap().is_none());
    let removed = cluster.records("lock.deleted").await;
    assert_eq!(removed.len(), 1);
    assert!(removed[0].to_string().contains("other"), "the record is of a lock that was not removed: {}", removed[0]);
}

#[tokio::test]
async fn a_token_is_removed_that_the_caller_may_not_remove_any_more() {
    let labelled = |team: &str| {
        let mut token = Token::new("shared", Default::default());
        token.spec.roles = vec![domain::role::SystemRole::Bot];
        token.spec.bot_name = "ci".into();
        token.metadata.labels.insert("team".into(), team.into());
        token
    };
    let theirs = labelled("red");
    let cluster = Cluster::raced(|batch| deletes(batch, "token"), move |_| Some(put(theirs.clone()))).await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut rule = Rule::new(["token"], ["delete"]);
    rule.condition = r#"equals(resource.metadata.labels["team"], "blue")"#.into();
    let blue = cluster.person("blue", vec![rule]).await;
    tokens::upsert(auth, &admin, labelled("blue")).await.unwrap();
    let error = tokens::delete(auth, &blue, "shared").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(auth.store().get::<Token>("shared").await.unwrap().is_some());
}

#[tokio::test]
async fn a_renewal_carries_a_role_that_was_taken_away_while_it_was_decided() {
    let key = Key::with_sub("user", "", "bot-ci");
    let renewing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let armed = std::sync::Arc::clone(&renewing);
    let cluster = Cluster::raced(
        move |batch| armed.load(std::sync::atomic::Ordering::Relaxed) && puts(batch, "tessera_lineage"),
        move |store| {
            let mut user = stored::<User>(store, &key)?;
            user.spec.traits.insert("logins".into(), vec!["meanwhile".into()]);
            Some(put(user))
        },
    )
    .await;
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    renewing.store(true, std::sync::atomic::Ordering::Relaxed);
    let machine = Machine::new();
    let request = UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        ssh_key: Some(machine.ssh.public().clone()),
        ..UserCertificates::default()
    };
    let renewed = issue(&cluster.auth, &cluster.caller(&held).unwrap(), request).await.unwrap();
    let traits = cluster.caller(&renewed).unwrap().identity().traits.clone();
    assert_eq!(traits["logins"], ["meanwhile"], "the certificate says what the store said before");
}

#[tokio::test]
async fn a_join_is_let_in_by_a_token_that_was_changed_meanwhile() {
    let name = "secret-token-1";
    let key = Key::with_sub("token", "", name);
    let cluster = Cluster::raced(
        |batch| puts(batch, "tessera_join_answer"),
        move |store| {
            let mut token = stored::<Token>(store, &key)?;
            token.spec.bot_name = "another".into();
            Some(put(token))
        },
    )
    .await;
    cluster.with_bot().await;
    let error = cluster.join(name, &Machine::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

#[tokio::test]
async fn a_role_goes_while_it_is_given_to_somebody() {
    // The deletion looks for holders, finds none, and somebody is made who holds it.
    let alice = user("alice", &["dev"]);
    let cluster = Cluster::raced(
        |batch| deletes(batch, "role"),
        move |_| {
            let given = Key::new("tessera_roles", "given");
            Some(put(alice.clone()).put(given, "", None))
        },
    )
    .await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    roles::create(auth, &admin, role("dev", vec![])).await.unwrap();
    let error = roles::delete(auth, &admin, "dev").await.unwrap_err();
    assert!(error.message.contains("user alice"), "{error}");
    assert!(auth.store().get::<Role>("dev").await.unwrap().is_some());
}

#[tokio::test]
async fn somebody_gets_a_role_that_went_while_it_was_given() {
    let cluster = Cluster::raced(
        |batch| puts(batch, "user"),
        |_| {
            let removed = Key::new("tessera_roles", "removed");
            Some(Batch::new().delete(Key::with_sub("role", "", "dev")).put(removed, "", None))
        },
    )
    .await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    roles::create(auth, &admin, role("dev", vec![])).await.unwrap();
    let error = users::create(auth, &admin, user("alice", &["dev"])).await.unwrap_err();
    assert_eq!((error.kind(), error.message.as_str()), (Kind::NotFound, r#"role "dev" does not exist"#));
    assert!(auth.store().get::<User>("alice").await.unwrap().is_none());
}

#[tokio::test]
async fn two_hundred_roles_fit_into_one_user_and_one_bot() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let names: Vec<String> = (0..200).map(|number| format!("role-{number:03}")).collect();
    for name in &names {
        roles::create(auth, &admin, role(name, vec![])).await.unwrap();
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let made = users::create(auth, &admin, user("alice", &all)).await.unwrap();
    users::update(auth, &admin, made).await.unwrap();
    users::upsert(auth, &admin, user("alice", &all)).await.unwrap();
    let mut bot = Bot::new("many", Default::default());
    bot.spec.roles.clone_from(&names);
    let mut made = bots::create(auth, &admin, bot.clone()).await.unwrap();
    bots::upsert(auth, &admin, bot).await.unwrap();
    made.metadata.revision.clear();
    made.spec.roles.pop();
    bots::update(auth, &admin, &made, &[bots::Field::Roles]).await.unwrap();
    let mut beyond = user("bob", &all);
    beyond.spec.roles.push("no-such-role".into());
    let error = users::create(auth, &admin, beyond).await.unwrap_err();
    assert_eq!(error.message, r#"role "no-such-role" does not exist"#);
    assert!(roles::delete(auth, &admin, "role-000").await.unwrap_err().message.contains("still used"));
}

#[tokio::test]
async fn an_upsert_is_refused_for_what_is_there_before_it_is_denied() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let auth = &cluster.auth;
    // May write roles of its own team; the role of a bot is of none.
    let mut rule = Rule::new(["role"], ["create", "update"]);
    rule.condition = r#"equals(resource.metadata.labels["team"], "blue")"#.into();
    let blue = cluster.person("blue", vec![rule]).await;
    let mut mine = role("bot-ci", vec![]);
    mine.metadata.labels.insert("team".into(), "blue".into());
    let error = roles::upsert(auth, &blue, mine).await.unwrap_err();
    assert_eq!((error.kind(), error.message.as_str()), (Kind::Denied, "access denied"), "it belongs to a bot");
    // What is not asked for by its own name is denied, whatever is wrong with it and whatever is there.
    for name in ["bot-ci", "nothing"] {
        let mut theirs = role(name, vec![]);
        theirs.metadata.labels.insert(metadata::BOT.into(), "ci".into());
        assert_eq!(roles::upsert(auth, &blue, theirs).await.unwrap_err().kind(), Kind::Denied, "{name}");
    }
}
