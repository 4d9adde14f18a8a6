//! Roles: revisions, paging, who may, what is in use.

use auth::{
    roles::{self, Filter},
    users,
};
use domain::{error::Kind, metadata, resources::role::Rule};
use store::ListRequest;

use crate::{
    harness::Cluster,
    people::{role, user},
};

#[tokio::test]
async fn a_role_is_made_changed_at_its_revision_only_and_removed() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let first = roles::create(auth, &admin, role("dev", vec![])).await.unwrap();
    assert!(!first.metadata.revision.is_empty());
    assert_eq!(roles::get(auth, &admin, "dev").await.unwrap(), first);
    assert_eq!(roles::create(auth, &admin, role("dev", vec![])).await.unwrap_err().kind(), Kind::AlreadyExists);

    let mut changed = first.clone();
    changed.spec.allow.logins = vec!["root".into()];
    let second = roles::update(auth, &admin, changed).await.unwrap();
    assert_ne!(second.metadata.revision, first.metadata.revision);
    assert_eq!(roles::update(auth, &admin, first.clone()).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(roles::update(auth, &admin, role("other", vec![])).await.unwrap_err().kind(), Kind::NotFound);

    // An upsert ignores the revision that it carries.
    let third = roles::upsert(auth, &admin, first).await.unwrap();
    assert_eq!(roles::get(auth, &admin, "dev").await.unwrap(), third);

    roles::delete(auth, &admin, "dev").await.unwrap();
    assert_eq!(roles::delete(auth, &admin, "dev").await.unwrap_err().kind(), Kind::NotFound);
    let events = cluster.events().await;
    for (event, times) in [("role.created", 1), ("role.updated", 2), ("role.deleted", 1)] {
        assert_eq!(events.iter().filter(|name| *name == event).count(), times, "{event}: {events:?}");
    }
}

#[tokio::test]
async fn names_of_the_system_and_derived_roles_are_refused() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut of_bot = role("mine", vec![]);
    of_bot.metadata.labels.insert(metadata::BOT.into(), "ci".into());
    let mut downgraded = role("old", vec![]);
    downgraded.metadata.labels.insert(roles::DOWNGRADED.into(), "x".into());
    for refused in [role("Admin", vec![]), role("a b", vec![]), of_bot, downgraded, role("bot-ci", vec![])] {
        let name = refused.metadata.name.clone();
        assert_eq!(roles::upsert(auth, &admin, refused).await.unwrap_err().kind(), Kind::Invalid, "{name}");
    }
    assert_eq!(roles::delete(auth, &admin, "bot-ci").await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_role_in_use_stays_and_the_refusal_says_by_whom() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let error = roles::delete(auth, &admin, "deployer").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.message.contains("bot ci"), "{}", error.message);
    roles::create(auth, &admin, role("dev", vec![])).await.unwrap();
    users::create(auth, &admin, user("alice", &["dev"])).await.unwrap();
    let error = roles::delete(auth, &admin, "dev").await.unwrap_err();
    assert!(error.message.contains("user alice"), "{}", error.message);
}

#[tokio::test]
async fn the_refusal_to_remove_a_role_names_a_holder_to_somebody_who_may_not_know_it() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    roles::create(auth, &admin, role("dev", vec![])).await.unwrap();
    for (name, shown) in [("alice", "yes"), ("zoe", "no")] {
        let mut holder = user(name, &["dev"]);
        holder.metadata.labels.insert("show".into(), shown.into());
        users::create(auth, &admin, holder).await.unwrap();
    }
    let rule = || Rule::new(["role"], ["delete", "read"]);
    let blind = cluster.person("blind", vec![rule()]).await;
    let mut seeing = Rule::new(["user"], ["read"]);
    seeing.condition = r#"equals(resource.metadata.labels["show"], "yes")"#.into();
    let half = cluster.person("half", vec![rule(), seeing]).await;
    for (caller, role, told, hidden) in [
        (&blind, "dev", "still used; take it away", vec!["alice", "zoe", "user"]),
        (&blind, "deployer", "still used; take it away", vec!["ci", "bot"]),
        (&half, "dev", "user alice and others", vec!["zoe"]),
        (&half, "deployer", "still used; take it away", vec!["ci", "bot"]),
    ] {
        let error = roles::delete(auth, caller, role).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{role}");
        assert!(error.message.contains(told), "{}", error.message);
        assert!(!hidden.iter().any(|word| error.message.contains(word)), "{}", error.message);
    }
}

#[tokio::test]
async fn pages_hold_what_the_caller_may_see_and_go_on_where_they_ended() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for number in 0..5 {
        for prefix in ["seen", "hidden"] {
            let mut role = role(&format!("{prefix}-{number}"), vec![]);
            role.metadata.labels.insert("show".into(), (prefix == "seen").to_string());
            roles::create(&cluster.auth, &admin, role).await.unwrap();
        }
    }
    let rule = Rule::new(["role"], ["list", "read"]).only_where(r#"equals(resource.metadata.labels["show"], "true")"#);
    let caller = cluster.person("alice", vec![rule]).await;
    let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListRequest::page(2, &token);
        let page = roles::list(&cluster.auth, &caller, request, &Filter::default()).await.unwrap();
        assert!(!page.items.is_empty());
        names.extend(page.items.into_iter().map(|role| role.metadata.name));
        (token, pages) = (page.next_page_token, pages + 1);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((names, pages), ((0..5).map(|number| format!("seen-{number}")).collect(), 3));

    let words = Filter { keywords: vec!["SEEN".into(), "-3".into()], ..Filter::default() };
    let page = roles::list(&cluster.auth, &admin, ListRequest::default(), &words).await.unwrap();
    assert_eq!(page.items.iter().map(|role| role.metadata.name.as_str()).collect::<Vec<_>>(), ["seen-3"]);

    // Nothing tells a role that is hidden from one that does not exist.
    for name in ["hidden-1", "nothing"] {
        let error = roles::get(&cluster.auth, &caller, name).await.unwrap_err();
        assert_eq!((error.kind(), error.message.as_str()), (Kind::Denied, "access denied"), "{name}");
    }
}

#[tokio::test]
async fn a_denial_is_recorded_with_its_reason_and_one_may_read_ones_own_roles() {
    let cluster = Cluster::start().await;
    let caller = cluster.person("alice", vec![Rule::new(["user"], ["list"])]).await;
    let own = roles::own(&cluster.auth, &caller).await.unwrap();
    assert_eq!(own.iter().map(|role| role.metadata.name.as_str()).collect::<Vec<_>>(), ["of-alice"]);
    assert!(roles::get(&cluster.auth, &caller, "of-alice").await.is_ok());

    let error = roles::create(&cluster.auth, &caller, role("mine", vec![])).await.unwrap_err();
    assert_eq!((error.kind(), error.message.as_str()), (Kind::Denied, "access denied"));
    cluster.settle().await;
    cluster.clock.advance(std::time::Duration::from_secs(3));
    cluster.settle().await;
    let records = cluster.records("tessera.access.denied").await;
    let record = records.iter().find(|record| record["operation"] == "CreateRole").expect("a record of the denial");
    assert_eq!((record["user"].as_str(), record["verb"].as_str()), (Some("alice"), Some("create")), "{record}");
}

#[tokio::test]
async fn many_who_upsert_at_once_are_each_served_and_each_recorded() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let upserts = (0..6).map(|number| {
        let mut role = role("shared", vec![]);
        role.metadata.description = number.to_string();
        roles::upsert(auth, &admin, role)
    });
    let results = futures_util::future::join_all(upserts).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let events = cluster.events().await;
    let count = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!((count("role.created"), count("role.updated")), (1, 5));
}

#[tokio::test]
async fn a_denial_with_a_long_name_takes_the_records_of_others_along() {
    let cluster = Cluster::start().await;
    let rules = || {
        let mut rule = Rule::new(["role"], ["read"]);
        rule.condition = r#"equals(resource.metadata.labels["a"], "b")"#.into();
        vec![rule]
    };
    let (eve, alice) = (cluster.person("eve", rules()).await, cluster.person("alice", rules()).await);
    for name in ["x".repeat(3 << 20), "é".repeat(1 << 20)] {
        assert_eq!(roles::get(&cluster.auth, &eve, &name).await.unwrap_err().kind(), Kind::Denied);
    }
    assert_eq!(roles::get(&cluster.auth, &alice, "editor").await.unwrap_err().kind(), Kind::Denied);
    cluster.clock.advance(std::time::Duration::from_secs(3));
    cluster.settle().await;
    let records = cluster.records("tessera.access.denied").await;
    let resources: Vec<&str> = records.iter().filter_map(|record| record["resource"].as_str()).collect();
    assert_eq!(records.len(), 3, "{records:?}");
    assert!(resources.contains(&"editor") && resources.iter().all(|name| name.len() < 300), "{resources:?}");
}

#[tokio::test]
async fn a_million_search_words_are_searched_for() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let long = vec!["x".repeat(257)];
    for keywords in [vec!["e".to_owned(); 33], vec![String::new(); 1_000_000], long] {
        let filter = Filter { keywords: keywords.clone(), ..Filter::default() };
        let error = roles::list(&cluster.auth, &admin, ListRequest::default(), &filter).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
        let filter = users::Filter { keywords, ..users::Filter::default() };
        let error = users::list(&cluster.auth, &admin, ListRequest::default(), &filter, false).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
    }
    let words = Filter { keywords: vec!["EDIT".to_owned(); 32], ..Filter::default() };
    let page = roles::list(&cluster.auth, &admin, ListRequest::default(), &words).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

#[tokio::test]
async fn denials_of_names_of_ones_own_choosing_drown_those_of_others() {
    let cluster = Cluster::start().await;
    let rules = || {
        let mut rule = Rule::new(["role"], ["read"]);
        rule.condition = r#"equals(resource.metadata.labels["a"], "b")"#.into();
        vec![rule]
    };
    let (eve, alice) = (cluster.person("eve", rules()).await, cluster.person("alice", rules()).await);
    for number in 0..3000 {
        assert!(roles::get(&cluster.auth, &eve, &format!("name-{number}")).await.is_err());
        if number % 1000 == 0 {
            cluster.clock.advance(std::time::Duration::from_secs(3));
            cluster.settle().await;
        }
    }
    assert!(roles::get(&cluster.auth, &alice, "editor").await.is_err());
    let records_of = |records: &[serde_json::Value], user: &str| -> Vec<u64> {
        let of_user = records.iter().filter(|record| record["user"] == user);
        of_user.map(|record| record["attempts"].as_u64().unwrap_or(1)).collect()
    };
    cluster.clock.advance(std::time::Duration::from_secs(3));
    cluster.settle().await;
    let records = cluster.records("tessera.access.denied").await;
    assert_eq!(records_of(&records, "alice"), [1], "the record of another is there");
    assert_eq!(records_of(&records, "eve"), [1; 32]);

    cluster.clock.advance(std::time::Duration::from_secs(60));
    cluster.settle().await;
    let records = cluster.records("tessera.access.denied").await;
    assert_eq!(records_of(&records, "eve").len(), 33);
    assert_eq!(records_of(&records, "eve").iter().sum::<u64>(), 3000, "none is lost");
    let merged = records.iter().find(|record| record["attempts"] == 2968).expect("one record of the others");
    assert_eq!(merged["explanation"], "too many different denials of this user to tell them apart");
    // And the next minute is a new one.
    assert!(roles::get(&cluster.auth, &eve, "again").await.is_err());
    cluster.clock.advance(std::time::Duration::from_secs(3));
    cluster.settle().await;
    let records = cluster.records("tessera.access.denied").await;
    assert!(records.iter().any(|record| record["resource"] == "again"));
}
