//! Bot instances: heartbeats, lists, deletion.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use auth::{
    Issued,
    certificates::user::{UserCertificates, issue},
    instances::{self, Filter, Sort, SortBy},
};
use domain::{
    error::Kind,
    resources::{
        BotInstance,
        bot_instance::{BotInstanceSpec, Heartbeat, LATEST_RECORDS, ServiceHealth},
    },
};

use clock::Timestamp;
use futures_util::FutureExt as _;
use storage::{Backend as _, Batch, Item, Key, Prefix, Write, memory::Memory};

use crate::harness::{Cluster, GRACE, Machine};

fn beat(hostname: &str, version: &str) -> Heartbeat {
    Heartbeat { hostname: hostname.into(), version: version.into(), ..Heartbeat::default() }
}

fn renewal(machine: &Machine) -> UserCertificates {
    UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        ssh_key: Some(machine.ssh.public().clone()),
        ..UserCertificates::default()
    }
}

/// A machine that has joined, and the id of its instance.
async fn joined(cluster: &Cluster, token: &str) -> (Issued, String) {
    let token = cluster.token(token).await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let id = cluster.caller(&held).unwrap().identity().bot_instance_id.clone();
    (held, id)
}

#[tokio::test]
async fn a_bot_says_that_it_lives_and_only_for_itself() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let auth = &cluster.auth;
    let (held, id) = joined(&cluster, "one").await;
    let caller = cluster.caller(&held).unwrap();
    let lineage = Key::new("tessera_lineage", &id);
    let pending =
        async || String::from_utf8(auth.store().record(&lineage).await.unwrap().unwrap().value.to_vec()).unwrap();
    let before = pending().await;
    let events = cluster.events().await.len();
    for number in 0..LATEST_RECORDS + 3 {
        let services = vec![ServiceHealth::default(); number % 3];
        instances::heartbeat(auth, &caller, beat("host", &number.to_string()), services).await.unwrap();
    }
    let document = auth.store().get_in::<BotInstance>("ci", &id).await.unwrap().unwrap();
    let status = document.status;
    assert_eq!(status.latest_heartbeats.len(), LATEST_RECORDS);
    assert_eq!(status.initial_heartbeat.unwrap().version, "0");
    assert_eq!(status.latest_heartbeats.last().unwrap().recorded_at, Some(auth.clock().now()));
    assert_eq!(status.service_health.len(), (LATEST_RECORDS + 2) % 3);
    assert_ne!(pending().await, before, "the pending answer must be cleared");
    assert_eq!(cluster.events().await.len(), events, "heartbeats are not audited");

    // Neither the administrator nor what the bot hands to others may speak for it.
    let error = instances::heartbeat(auth, &cluster.admin(), beat("h", "1"), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let request = UserCertificates {
        username: "bot-ci".into(),
        tls_key: Some(Machine::new().tls.public().clone()),
        use_role_requests: true,
        role_requests: vec!["deployer".into()],
        ..UserCertificates::default()
    };
    let output = cluster.caller(&issue(auth, &caller, request).await.unwrap()).unwrap();
    assert_eq!(output.identity().bot_instance_id, id);
    let error = instances::heartbeat(auth, &output, beat("h", "1"), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);

    let error = instances::heartbeat(auth, &caller, beat(&"x".repeat(2000), "1"), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_deleted_instance_is_gone_for_good_and_the_others_go_on() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let ((first, id), (second, other)) = (joined(&cluster, "one").await, joined(&cluster, "two").await);
    assert_eq!(instances::get(auth, &admin, "ci", &id).await.unwrap().spec.instance_id, id);
    instances::delete(auth, &admin, "ci", &id).await.unwrap();
    assert_eq!(instances::delete(auth, &admin, "ci", &id).await.unwrap_err().kind(), Kind::NotFound);
    let caller = cluster.caller(&first).unwrap();
    let error = instances::heartbeat(auth, &caller, beat("h", "1"), vec![]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = issue(auth, &caller, renewal(&Machine::new())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{}", error.message);
    issue(auth, &cluster.caller(&second).unwrap(), renewal(&Machine::new())).await.unwrap();
    assert!(cluster.events().await.contains(&"tessera.bot_instance.delete".to_owned()));
    assert_eq!(instances::get(auth, &admin, "ci", &other).await.unwrap().spec.instance_id, other);
}

fn writes(batch: &Batch, kind: &str, deletes: bool) -> bool {
    batch.writes.iter().any(|write| match write {
        Write::Put { key, .. } => !deletes && key.kind() == kind,
        Write::Delete { key } => deletes && key.kind() == kind,
    })
}

fn lineage_of(store: &Memory) -> Option<Item> {
    let page = store.range(&Prefix::kind("tessera_lineage"), None, 1).now_or_never()?.unwrap();
    page.items.into_iter().next()
}

#[tokio::test]
async fn an_instance_that_is_deleted_while_it_renews_does_not_come_back_as_one_of_a_restored_store() {
    let deleted = Arc::new(OnceLock::<String>::new());
    let instance = Arc::clone(&deleted);
    let cluster = Cluster::raced(
        |batch| writes(batch, "tessera_lineage", false),
        move |_| {
            let tombstone = Key::new("tessera_tombstone", instance.get()?);
            let value = br#"{"at":"2027-01-15T08:00:00Z"}"#.as_slice();
            Some(Batch::new().put(tombstone, value, None))
        },
    )
    .await;
    cluster.with_bot().await;
    let (held, id) = joined(&cluster, "one").await;
    // What a deletion leaves, seen half before it and half after it: no lineage, and not yet a tombstone.
    cluster.forget_instance(&id).await;
    deleted.set(id).unwrap();
    let caller = cluster.caller(&held).unwrap();
    let error = issue(&cluster.auth, &caller, renewal(&Machine::new())).await.unwrap_err();
    assert!(error.message.starts_with("this bot instance was deleted"), "{}", error.message);
    assert!(!cluster.events().await.contains(&"tessera.bot.rollback_tolerated".to_owned()));
}

#[tokio::test]
async fn a_tombstone_outlives_a_renewal_that_was_faster_than_the_deletion() {
    let until = Timestamp::from_second(1_800_000_000 + 30 * 86_400).unwrap();
    let cluster = Cluster::raced(
        |batch| writes(batch, "tessera_lineage", true),
        move |store| {
            let item = lineage_of(store)?;
            let mut lineage: serde_json::Value = serde_json::from_slice(&item.value).unwrap();
            lineage["not_after"] = serde_json::to_value(until).unwrap();
            Some(Batch::new().put(item.key, serde_json::to_vec(&lineage).unwrap(), Some(until)))
        },
    )
    .await;
    cluster.with_bot().await;
    let (_, id) = joined(&cluster, "one").await;
    instances::delete(&cluster.auth, &cluster.admin(), "ci", &id).await.unwrap();
    let tombstone = cluster.backend.get(&Key::new("tessera_tombstone", &id)).await.unwrap().unwrap();
    assert_eq!(tombstone.expires, until.saturating_add(GRACE).ok());
}

#[tokio::test]
async fn instances_are_listed_in_an_order_of_choice_page_by_page() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    for (number, (host, version)) in
        [("beta", "18.10.0"), ("alpha", "18.9.1"), ("gamma", "v18.2.0")].into_iter().enumerate()
    {
        let (held, _) = joined(&cluster, &format!("token-{number}")).await;
        cluster.clock.advance(Duration::from_secs(10));
        let caller = cluster.caller(&held).unwrap();
        instances::heartbeat(auth, &caller, beat(host, version), vec![]).await.unwrap();
    }
    let hosts = async |by, descending, search: &str| {
        let filter = Filter { bot_name: "ci".into(), search: search.into(), ..Filter::default() };
        let (mut hosts, mut token) = (Vec::new(), String::new());
        loop {
            let sort = Sort { by, descending };
            let page = instances::list(auth, &admin, 2, &token, &filter, sort).await.unwrap();
            hosts.extend(page.items.into_iter().map(|item| item.status.latest_heartbeats[0].hostname.clone()));
            token = page.next_page_token;
            if token.is_empty() {
                return hosts.join(" ");
            }
        }
    };
    assert_eq!(hosts(SortBy::Host, false, "").await, "alpha beta gamma");
    assert_eq!(hosts(SortBy::Host, true, "").await, "gamma beta alpha");
    assert_eq!(hosts(SortBy::Version, false, "").await, "gamma alpha beta");
    assert_eq!(hosts(SortBy::LastActive, true, "").await, "gamma alpha beta");
    assert_eq!(hosts(SortBy::Bot, false, "").await.split(' ').count(), 3);
    assert_eq!(hosts(SortBy::Bot, false, "ALPH").await, "alpha");
    let sort = Sort { by: SortBy::Host, descending: false };
    let error = instances::list(auth, &admin, 2, "zz", &Filter::default(), sort).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let none = Filter { bot_name: "none".into(), ..Filter::default() };
    assert!(instances::list(auth, &admin, 0, "", &none, Sort::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_page_of_a_sorted_list_is_too_long_for_a_message() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut names = Vec::new();
    for number in 0..60 {
        let name = format!("instance-{number:02}");
        let spec = BotInstanceSpec { bot_name: "ci".into(), instance_id: name.clone(), ..BotInstanceSpec::default() };
        let mut instance = BotInstance::new(name.clone(), spec);
        instance.metadata.description = "x".repeat(100_000);
        auth.store().change().create(&instance).unwrap().commit().await.unwrap();
        names.push(name);
    }
    let (mut walked, mut token) = (Vec::new(), String::new());
    loop {
        let sort = Sort { by: SortBy::Bot, descending: true };
        let page = instances::list(auth, &admin, 0, &token, &Filter::default(), sort).await.unwrap();
        let bytes: usize = page.items.iter().map(|item| serde_json::to_vec(item).unwrap().len()).sum();
        assert!(!page.items.is_empty() && bytes <= store::MAX_PAGE_BYTES, "{bytes} bytes");
        walked.extend(page.items.into_iter().map(|item| item.spec.instance_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    names.reverse();
    assert_eq!(walked, names);
}
