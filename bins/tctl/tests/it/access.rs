//! `tctl status`, `tctl access explain`, `tctl audit`, `tctl inventory`.

use crate::support::Tool;

const ROLES: &str = "\
kind: role
version: v7
metadata: {name: readers}
spec: {allow: {rules: [{resources: [role, app], verbs: [read, list]}]}}
---
kind: role
version: v7
metadata: {name: no-roles}
spec: {deny: {rules: [{resources: [role], verbs: ['*']}]}}
---
kind: app
version: v3
metadata: {name: grafana, labels: {env: prod}}
spec: {uri: 'http://127.0.0.1:3000'}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_cluster() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&["status"]));
    let json: serde_json::Value = serde_json::from_str(&tool.done("status --format=json")).unwrap();
    assert_eq!(json["cluster"], "test.example");
    assert!(json["ca_pins"][0].as_str().unwrap().starts_with("sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_names_the_rule_of_the_role_that_decided() {
    let tool = Tool::start().await;
    assert_eq!(tool.run("create", ROLES, &[]).code, 0);
    tool.done("users add alice --roles=readers");
    tool.done("users add bob --roles=readers,no-roles");
    tool.done("bots add ci --roles=readers");
    seen!(tool.transcript(&[
        "access explain --user=alice --verb=read --resource=role/readers",
        "access explain --user=alice --verb=create --resource=role",
        "access explain --user=bob --verb=read --resource=role/readers",
        "access explain --user=alice --verb=read --resource=app/grafana",
        "access explain --user=bot-ci --verb=readnosecrets --resource=cert_authority/user",
        "access explain --bot=ci --verb=list --resource=role",
        "access explain --bot=ci --user=alice --verb=list --resource=role",
        "access explain --roles=readers --verb=list --resource=roles --format=json",
        "access explain --user=nobody --verb=list --resource=role",
        "access explain --user=alice --verb=smell --resource=role",
        "access explain --user=alice --verb=list --resource=rolls",
        "access explain --verb=list --resource=role",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_read_and_verified() {
    let tool = Tool::start().await;
    tool.done("users add alice --roles=access");
    tool.done("tokens add --type=node");
    let events: serde_json::Value =
        serde_json::from_str(&tool.done("audit ls --types=user.create --format=json")).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["name"], "alice");
    seen!(tool.transcript(&[
        "audit ls --types=user.create,join_token.create --ascending",
        "audit ls --types=no.such.event",
        "audit ls --from=yesterday",
        "audit ls --since=1h --from=2026-01-01T00:00:00Z",
        "audit verify --checkpoint=DIR/none",
    ]));
    let verified: serde_json::Value = serde_json::from_str(&tool.done("audit verify --format=json")).unwrap();
    assert_eq!(verified["intact"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory() {
    let tool = Tool::start().await;
    let counted: serde_json::Value = serde_json::from_str(&tool.done("inventory status --format=json")).unwrap();
    assert!(counted["instance_count"].is_u64() && counted["version_counts"].is_object(), "{counted}");
    let connected = tool.done("inventory status --connected --format=json");
    let listed: serde_json::Value = serde_json::from_str(&tool.done("inventory list --format=json")).unwrap();
    assert!(connected.contains("instance_count") && listed.is_array(), "{connected} {listed}");
    assert!(tool.done("inventory status").contains("Total Instances: "));
    let run = tool.run("inventory ls --older-than=new", "", &[]);
    assert!(run.code == 2 && run.stderr.contains("is no version, write for example 18.0.0"), "{}", run.stderr);
}
