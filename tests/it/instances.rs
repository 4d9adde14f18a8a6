//! Bot instances and the inventory, as callers of the API list, filter and count them.

use std::collections::BTreeMap;

use api::{
    r#gen::{
        proto,
        teleport::machineid::v1::{
            self as machine, BotInstance, ListBotInstancesV2Request, list_bot_instances_v2_request::Filters,
        },
    },
    methods::{
        proto::auth_service::GetInventoryStatus,
        teleport::machineid::v1::bot_instance_service::{ListBotInstancesV2, SubmitHeartbeat},
    },
};
use client::Client;
use domain::{Error, error::Kind, resources::AppServer};
use serde_json::json;
use testkit::Cluster;

use crate::support::people::{self, document};

/// Bot, host and version of the machines that have joined; the last keeps itself current by a program.
const MACHINES: [(&str, &str, &str); 5] = [
    ("ci", "beta", "18.10.0"),
    ("ci", "alpha", "18.9.1"),
    ("web", "gamma", "18.2.0"),
    ("web", "delta", "18.9.1"),
    ("web", "epsilon", ""),
];

/// A cluster with these machines, each of which has said that it lives, and its administrator.
async fn fleet() -> (Cluster, Client) {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    for bot in ["ci", "web"] {
        people::bot(&admin, bot, &[]).await;
    }
    for (bot, host, version) in MACHINES {
        let token = format!("{host}-0123456789abcdef");
        people::bot_token(&admin, &token, bot).await;
        let machine = cluster.client(people::join(&cluster, &token).await.unwrap().credentials()).await;
        let heartbeat = machine::BotInstanceStatusHeartbeat {
            version: version.into(),
            hostname: host.into(),
            external_updater: if version.is_empty() { "systemd-unit" } else { "" }.into(),
            ..Default::default()
        };
        let request = machine::SubmitHeartbeatRequest { heartbeat: Some(heartbeat), service_health: vec![] };
        machine.call::<SubmitHeartbeat>(request).await.unwrap();
    }
    (cluster, admin)
}

fn filtered(bot: &str, search: &str, query: &str) -> ListBotInstancesV2Request {
    let filter = Filters { bot_name: bot.into(), search_term: search.into(), query: query.into() };
    ListBotInstancesV2Request { filter: Some(filter), ..Default::default() }
}

fn host(instance: &BotInstance) -> String {
    instance.status.as_ref().unwrap().latest_heartbeats.last().unwrap().hostname.clone()
}

async fn list(client: &Client, request: ListBotInstancesV2Request) -> Result<(Vec<String>, String), Error> {
    let page = client.call::<ListBotInstancesV2>(request).await?;
    Ok((page.bot_instances.iter().map(host).collect(), page.next_page_token))
}

async fn found(client: &Client, request: ListBotInstancesV2Request) -> String {
    let (mut hosts, rest) = list(client, request).await.unwrap();
    assert_eq!(rest, "");
    hosts.sort();
    hosts.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_found_by_bot_words_and_query() {
    let (_cluster, admin) = fleet().await;
    let everything = "alpha beta delta epsilon gamma";
    for (bot, search, query, expected) in [
        ("", "", "", everything),
        ("ci", "", "", "alpha beta"),
        ("nobody", "", "", ""),
        ("", "ALPH", "", "alpha"),
        ("web", "alph", "", ""),
        ("", "18.9", "", "alpha delta"),
        ("", "", r#"spec.bot_name == "web""#, "delta epsilon gamma"),
        ("ci", "", r#"spec.bot_name == "web""#, ""),
        ("", "", r#"status.latest_heartbeat.hostname == "alpha""#, "alpha"),
        ("", "", r#"resource.status.latest_heartbeat.hostname == "alpha""#, "alpha"),
        ("", "", r#"hasPrefix(status.latest_heartbeat.hostname, "a") || name == "x""#, "alpha"),
        ("", "", r#"newer_than(status.latest_heartbeat.version, "18.9.1")"#, "beta"),
        ("", "", r#"older_than(status.latest_heartbeat.version, "18.9.1")"#, "gamma"),
        ("", "", r#"between(status.latest_heartbeat.version, "18.2.0", "18.10.0")"#, "alpha delta gamma"),
        ("web", "", r#"!older_than(status.latest_heartbeat.version, "18.9.0")"#, "delta"),
        ("ci", "18.9", r#"status.latest_heartbeat.version == "18.9.1""#, "alpha"),
        ("", "", r#"status.latest_authentication.join_method == "token""#, everything),
        ("", "", "status.latest_authentication.generation == 1", everything),
        ("", "", "status.latest_authentication.generation == 2", ""),
        ("", "", r#"exists(labels["team"])"#, ""),
        // What an instance does not have has no answer, and no answer is no hit, whichever way it is asked.
        ("", "", r#"status.nothing == "x""#, ""),
        ("", "", r#"status.nothing != "x""#, ""),
    ] {
        assert_eq!(found(&admin, filtered(bot, search, query)).await, expected, "{bot:?} {search:?} {query:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_instances_that_makes_no_sense_is_refused() {
    let (_cluster, admin) = fleet().await;
    let (long, deep) = (format!("name == \"{}\"", "x".repeat(17 << 10)), format!("{}true", "!(".repeat(100)));
    for query in [
        "name ==",
        "(name == \"x\"",
        "name == \"x\" name",
        "nothing == \"x\"",
        "name = \"x\"",
        "explode(name)",
        "older_than(status.latest_heartbeat.version)",
        "name",
        "\0",
        &long,
        &deep,
    ] {
        let error = list(&admin, filtered("", "", query)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{query}: {error}");
        assert!(error.message.starts_with("the query: "), "{query}: {error}");
    }
    let plain = ListBotInstancesV2Request::default;
    for (what, request) in [
        ("a long word", filtered("", &"x".repeat(300), "")),
        ("a negative size", ListBotInstancesV2Request { page_size: -1, ..plain() }),
        ("an unknown order", ListBotInstancesV2Request { sort_field: "age".into(), ..plain() }),
        ("a foreign token", ListBotInstancesV2Request { page_token: "zz".into(), ..plain() }),
        (
            "a foreign token of a sorted list",
            ListBotInstancesV2Request { page_token: "zz".into(), sort_desc: true, ..plain() },
        ),
    ] {
        let error = list(&admin, request).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_instances_go_on_where_they_ended_in_every_order() {
    let (_cluster, admin) = fleet().await;
    for (field, ascending) in [
        ("host_name_latest", Some("alpha beta delta epsilon gamma")),
        ("version_latest", None),
        ("active_at_latest", Some("beta alpha gamma delta epsilon")),
        ("bot_name", None),
        ("", None),
    ] {
        for descending in [false, true] {
            let request =
                ListBotInstancesV2Request { sort_field: field.into(), sort_desc: descending, ..Default::default() };
            let (whole, rest) = list(&admin, request.clone()).await.unwrap();
            assert_eq!((whole.len(), rest.as_str()), (MACHINES.len(), ""), "{field} {descending}");
            let (mut whole_ascending, mut walked, mut token) = (whole.clone(), Vec::new(), String::new());
            if descending {
                whole_ascending.reverse();
            }
            if let Some(expected) = ascending {
                assert_eq!(whole_ascending.join(" "), expected, "{field} {descending}");
            }
            for page in 1.. {
                let request = ListBotInstancesV2Request { page_size: 2, page_token: token, ..request.clone() };
                let (hosts, next) = list(&admin, request).await.unwrap();
                assert_eq!(hosts.len(), if page < 3 { 2 } else { 1 }, "{field} {descending}");
                walked.extend(hosts);
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(walked, whole, "{field} {descending}");
        }
    }
    let most = ListBotInstancesV2Request { page_size: i32::MAX, ..filtered("", "", "name != \"x\"") };
    assert_eq!(list(&admin, most).await.unwrap().0.len(), MACHINES.len());
    let one = ListBotInstancesV2Request { page_size: 1, ..filtered("", "", r#"spec.bot_name == "web""#) };
    let (first, token) = list(&admin, one.clone()).await.unwrap();
    let (second, _) = list(&admin, ListBotInstancesV2Request { page_token: token, ..one }).await.unwrap();
    assert!(first.len() == 1 && second.len() == 1 && first != second, "{first:?} {second:?}");
}

/// Somebody with one role that has these rules.
async fn person(cluster: &Cluster, admin: &Client, name: &str, rules: serde_json::Value) -> Client {
    people::role(admin, name, json!({"allow": {"rules": rules}})).await;
    cluster.client(people::user(admin, name, &[name], 600).await.credentials()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_listed_to_who_may_list_and_read_each_of_them() {
    let (cluster, admin) = fleet().await;
    let (some, _) = list(&admin, filtered("ci", "", "")).await.unwrap();
    let all = admin.call::<ListBotInstancesV2>(filtered("ci", "", "")).await.unwrap().bot_instances;
    let id = &all[0].metadata.as_ref().unwrap().name;
    let only = format!(r#"equals(resource.metadata.name, "{id}")"#);
    for (name, rules, expected) in [
        ("nobody", json!([]), Err(Kind::Denied)),
        ("lister", json!([{"resources": ["bot_instance"], "verbs": ["list"]}]), Err(Kind::Denied)),
        ("of-bots", json!([{"resources": ["bot"], "verbs": ["*"]}]), Err(Kind::Denied)),
        (
            "one",
            json!([{"resources": ["bot_instance"], "verbs": ["list", "read"], "where": only}]),
            Ok(vec![some[0].clone()]),
        ),
    ] {
        let caller = person(&cluster, &admin, name, rules).await;
        let seen = list(&caller, filtered("", "", "name != \"x\"")).await.map(|(hosts, _)| hosts);
        assert_eq!(seen.map_err(|error| error.kind), expected, "{name}");
        // Whether a query can be read is nothing for somebody who gets no answer to it.
        let broken = list(&caller, filtered("", "", "name ==")).await.unwrap_err().kind;
        assert_eq!(broken, if expected.is_ok() { Kind::Invalid } else { Kind::Denied }, "{name}");
    }
    people::bot_token(&admin, "one-more-0123456789", "ci").await;
    let bot = cluster.client(people::join(&cluster, "one-more-0123456789").await.unwrap().credentials()).await;
    assert_eq!(list(&bot, filtered("ci", "", "")).await.unwrap_err().kind, Kind::Denied, "a bot its own kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_counts_by_version_updater_and_service_what_the_caller_may_see() {
    let (cluster, admin) = fleet().await;
    let agent: AppServer = document(json!({
        "kind": "app_server", "version": "v3", "metadata": {"name": "grafana"},
        "spec": {
            "version": "18.1.0", "hostname": "agent", "host_id": "2d1e8f5c-0000-4000-8000-000000000001",
            "app": {"kind": "app", "version": "v3", "metadata": {"name": "grafana"}, "spec": {"uri": "http://127.0.0.1:1"}}
        }
    }));
    cluster.server().auth().store().change().create(&agent).unwrap().commit().await.unwrap();
    let counts = |counts: &[(&str, u32)]| -> BTreeMap<String, u32> {
        counts.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
    };
    let without_bots = (counts(&[("18.0.0", 1), ("18.1.0", 1)]), counts(&[]), counts(&[("App", 1), ("Auth", 1)]));
    let with_bots = (
        counts(&[("18.0.0", 1), ("18.1.0", 1), ("18.10.0", 1), ("18.2.0", 1), ("18.9.1", 2)]),
        counts(&[("systemd-unit", 1)]),
        counts(&[("App", 1), ("Auth", 1), ("Bot", 5)]),
    );
    let instance = json!({"resources": ["instance"], "verbs": ["list", "read"]});
    let bots = |verbs: &[&str]| json!({"resources": ["bot_instance"], "verbs": verbs});
    for (name, rules, expected) in [
        ("nobody", json!([]), None),
        ("lister", json!([{"resources": ["instance"], "verbs": ["list"]}]), None),
        ("bots-only", json!([bots(&["list", "read"])]), None),
        ("agents", json!([instance]), Some((2, &without_bots))),
        ("half", json!([instance, bots(&["list"])]), Some((2, &without_bots))),
        ("both", json!([instance, bots(&["list", "read"])]), Some((7, &with_bots))),
    ] {
        let caller = person(&cluster, &admin, name, rules).await;
        for connected in [false, true] {
            let answer = caller.call::<GetInventoryStatus>(proto::InventoryStatusRequest { connected }).await;
            let Some((total, (versions, upgraders, services))) = expected else {
                assert_eq!(answer.unwrap_err().kind, Kind::Denied, "{name}");
                continue;
            };
            let answer = answer.unwrap();
            assert_eq!(answer.instance_count, total, "{name}");
            assert_eq!((&answer.version_counts, &answer.upgrader_counts), (versions, upgraders), "{name}");
            assert_eq!(&answer.service_counts, services, "{name}");
            let hosts: Vec<_> = answer.connected.iter().map(|member| member.hostname.as_str()).collect();
            assert_eq!(hosts, if connected { vec!["", "agent"] } else { vec![] }, "{name}: bots are only counted");
        }
    }
}
