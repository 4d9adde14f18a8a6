//! What a definition of an application says, and what becomes of it.

use api::{
    r#gen::types,
    methods::proto::auth_service::{CreateApp, DeleteApp, UpdateApp},
};
use base64::Engine as _;
use domain::resources::{App, AppServer};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{
    app,
    kit::{CLUSTER, Kit, empty, end_of, host, text, until},
};
use crate::support::people::{self, document};

/// The claims of the assertion that an application was shown. Whether it is signed as it should be is another test's.
fn claims(seen: &str) -> Value {
    let token = seen.lines().find_map(|line| line.strip_prefix("teleport-jwt-assertion: ")).expect("an assertion");
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_rule_what_goes_to_an_application_and_back() {
    let (address, _) = app::start().await;
    let kit = Kit::start(&format!(
        "  debug_app: yes
  denied_hosts: [127.0.0.2/32]
  apps:
  - name: plain
    uri: http://{address}
    labels: {{env: dev}}
    required_apps: [rewritten]
  - name: rewritten
    uri: http://{address}/begin#here
    labels: {{env: dev}}
    rewrite:
      redirect: [inner.example]
      jwt_claims: roles
      headers: ['X-Who: {{{{internal.logins}}}}', 'Host: inner.example', 'Authorization: Bearer {{{{internal.jwt}}}}']
    cors: {{allowed_origins: ['https://a.example'], allowed_methods: [PUT], max_age: 60}}
  - name: blocked
    uri: http://127.0.0.2:1
    labels: {{env: dev}}
"
    ))
    .await;
    let (plain, rewritten) = (kit.reached("plain").await, kit.reached("rewritten").await);

    let (status, seen) = kit.line("plain", &plain).await.get("/what").await;
    assert_eq!(status, StatusCode::OK);
    let told = claims(&seen);
    assert_eq!((&told["sub"], &told["iss"]), (&json!("alice"), &json!(CLUSTER)));
    assert_eq!(told["aud"], json!([format!("http://{address}")]));
    assert_eq!((told["roles"].clone(), told["traits"].is_object()), (json!(["dev"]), true));
    let mut line = kit.line("plain", &plain).await;
    let away = line.ask("/away").await.headers()[header::LOCATION].clone();
    assert_eq!(away, format!("https://{}/there?x=1", host("plain")));
    let away = line.ask("/away?inner.example").await.headers()[header::LOCATION].clone();
    assert_eq!(away, "http://inner.example/there");
    let preflight = |line: &super::kit::Line| {
        let request = line.request("OPTIONS", "/").header("origin", "https://a.example");
        request.header("access-control-request-method", "PUT").body(empty()).unwrap()
    };
    let request = preflight(&line);
    assert_eq!(line.send(request).await.unwrap().status(), StatusCode::FORBIDDEN, "no rules for other origins");
    // Browsers ask without any credential.
    let mut stranger = kit.stranger("plain").await;
    let request = preflight(&stranger);
    assert_eq!(stranger.send(request).await.unwrap().status(), StatusCode::FORBIDDEN, "no rules for other origins");

    let mut line = kit.line("rewritten", &rewritten).await;
    let begin = line.ask("/").await;
    assert_eq!(
        (begin.status(), &begin.headers()[header::LOCATION]),
        (StatusCode::FOUND, &"/begin#here".parse().unwrap())
    );
    drop(text(begin).await);
    let request = line.request("GET", "/begin").header("x-who", "root").header("authorization", "Basic x");
    let seen = text(line.send(request.body(empty()).unwrap()).await.unwrap()).await;
    assert!(seen.contains("host: inner.example") && seen.contains("authorization: Bearer ey"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("Basic"), "{seen}");
    assert!(claims(&seen).get("traits").is_none() && claims(&seen)["roles"] == json!(["dev"]), "{seen}");
    let away = line.ask("/away?inner.example").await.headers()[header::LOCATION].clone();
    assert_eq!(away, format!("https://{}/there", host("rewritten")));
    let mut stranger = kit.stranger("rewritten").await;
    let request = preflight(&stranger);
    let answer = stranger.send(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://a.example");
    assert_eq!(answer.headers()["access-control-max-age"], "60");

    let blocked = kit.routed("blocked").await;
    let denied = until("the agent refuses", async || {
        let (status, body) = kit.line("blocked", &blocked).await.get("/").await;
        (status == StatusCode::FORBIDDEN).then_some(body)
    });
    assert!(denied.await.contains("denied_hosts"));
    let events = until("the denied dial is told", async || {
        let events = kit.events("app.session.target.dial.denied").await;
        (!events.is_empty()).then_some(events)
    })
    .await;
    let event = &events[0];
    assert_eq!(
        (&event["code"], &event["user"], &event["app_name"]),
        (&json!("T2019E"), &json!("alice"), &json!("blocked"))
    );
    assert_eq!((&event["blocked_ip"], &event["blocked_prefix"]), (&json!("127.0.0.2"), &json!("127.0.0.2/32")));
    assert_eq!((&event["policy"], &event["target_port"]), (&json!("denied_hosts"), &json!(1)));

    people::role(&kit.admin, "debug", json!({"allow": {"app_labels": {"teleport.dev/origin": "config"}}})).await;
    let bob = people::user(&kit.admin, "bob", &["debug"], 600).await;
    let client = kit.cluster.client(bob.credentials()).await;
    let dumper = kit.routed_as(&client, "bob", "dumper", (600, 0)).await;
    kit.until_reached("dumper", &dumper).await;
    let (_, seen) = kit.line("dumper", &dumper).await.get("/a?b").await;
    assert!(seen.starts_with("GET /a?b ") && seen.contains("teleport-jwt-assertion: ey"), "{seen}");
    kit.cluster.stop().await;
}

fn dynamic(address: std::net::SocketAddr, team: &str) -> types::AppV3 {
    let app: App = document(json!({
        "kind": "app", "version": "v3", "metadata": {"name": "dynamic", "labels": {"team": team, "env": "dev"}},
        "spec": {"uri": format!("http://{address}")}
    }));
    api::convert::app::to_wire(&app)
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_and_labels_come_and_go_without_a_restart() {
    let (address, _) = app::start().await;
    let home = tempfile::tempdir().unwrap();
    let label = home.path().join("env");
    std::fs::write(&label, "prod").unwrap();
    let kit = Kit::start(&format!(
        "  resources: [{{labels: {{team: a}}}}]
  allowed_hosts: [127.0.0.1/32]
  apps:
  - name: elsewhere
    uri: http://127.0.0.2:1
    labels: {{env: dev}}
  - name: hello
    uri: http://{address}
    labels: {{}}
    commands: [{{name: env, command: [/bin/cat, {}], period: 1s}}]
",
        label.display()
    ))
    .await;
    kit.admin.call::<CreateApp>(dynamic(address, "a")).await.unwrap();
    let person = kit.reached("dynamic").await;
    assert_eq!(kit.line("dynamic", &person).await.get("/").await.0, StatusCode::OK);
    kit.admin.call::<UpdateApp>(dynamic(address, "b")).await.unwrap();
    until("another team's application is not served here", async || {
        (kit.line("dynamic", &person).await.get("/").await.0 != StatusCode::OK).then_some(())
    })
    .await;
    kit.admin.call::<UpdateApp>(dynamic(address, "a")).await.unwrap();
    let person = kit.reached("dynamic").await;
    let events = kit.line("dynamic", &person).await.events().await;
    let gone = types::ResourceRequest { name: "dynamic".to_owned() };
    kit.admin.call::<DeleteApp>(gone).await.unwrap();
    let late = end_of(events).await;
    assert!(late.as_secs() < 2, "a running connection ended after {late:?}");
    until("the announcement is taken back", async || {
        let store = kit.cluster.server().auth().store();
        let left = store.all::<AppServer>().await.unwrap();
        left.iter().all(|server| server.metadata.name != "dynamic").then_some(())
    })
    .await;

    let elsewhere = kit.routed("elsewhere").await;
    let refused = until("the agent refuses", async || {
        let (status, body) = kit.line("elsewhere", &elsewhere).await.get("/").await;
        (status == StatusCode::FORBIDDEN).then_some(body)
    });
    assert!(refused.await.contains("allowed_hosts"));

    // What a command prints decides who may come.
    std::fs::write(&label, "dev").unwrap();
    let person = kit.reached("hello").await;
    assert_eq!(kit.line("hello", &person).await.get("/").await.0, StatusCode::OK);
    std::fs::write(&label, "prod").unwrap();
    until("the label shuts the door", async || {
        (kit.line("hello", &person).await.get("/").await.0 == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    kit.cluster.stop().await;
}
