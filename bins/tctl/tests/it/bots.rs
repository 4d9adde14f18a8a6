//! `tctl bots` and its instances.

use crate::support::Tool;

const ROLE: &str =
    "kind: role\nversion: v7\nmetadata: {name: deployer}\nspec: {allow: {logins: ['{{internal.logins}}']}}\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_bot() {
    let tool = Tool::start().await;
    assert_eq!(tool.run("create", ROLE, &[]).code, 0);
    seen!(tool.transcript(&[
        "bots ls",
        "bots add ci --roles=nobody",
        "bots add ci --roles=deployer --logins=root --ttl=30m --max-session-ttl=24h",
        "bots add ci --roles=deployer",
        "bots add idle",
        "bots add two --roles=deployer --format=json",
        "bots ls",
        "bots update ci --add-roles=auditor --add-logins=admin --set-max-session-ttl=8h",
        "get bot/ci",
        "bots update ci --set-roles=deployer --set-logins=,",
        "get bot/ci",
        "bots update ci --add-roles=nobody",
        "bots update ci",
        "bots update nobody --add-roles=deployer",
        "bots instances ls",
        "bots instances list ci --search=x --sort=active_at_latest:desc",
        "bots instances ls --sort=name",
        "bots instances add ci --format=yaml",
        "bots instances add nobody",
        "bots instances show ci/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11",
        "bots lock ci --ttl=1h",
        "bots rm ci",
        "bots rm ci",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ones_own_must_join_the_bot() {
    let tool = Tool::start().await;
    let token = "kind: token\nversion: v2\nmetadata: {name: gh}\nspec: {roles: [Bot], bot_name: ci, join_method: github, \
                 github: {allow: [{repository: o/r}]}}\n";
    assert_eq!(tool.run("create", token, &[]).code, 0);
    seen!(tool.transcript(&[
        "bots add other --token=gh",
        "bots add ci --token=none",
        "bots add ci --token=gh",
        "bots add x --token=gh --ttl=1h",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_is_sent_to_the_proxy_where_there_is_one() {
    let tool = Tool::with_proxy().await;
    let status = tool.done("status");
    let note =
        status.lines().find(|line| line.contains("browsers do not trust")).expect("a word about the certificate");
    assert!(note.starts_with("Note: ") && note.contains("proxy: test: the public port"), "the node is named: {note}");
    assert!(note.contains(" proxy.example.test (") && note.contains("SHA-256 "), "{note}");
    let auth = format!("--auth-server={}\n", tool.cluster.address());
    for (line, expected) in [
        ("bots add ci --roles=editor", "--proxy-server=proxy.example.test:443 \\\n"),
        ("bots instances add ci", "--proxy-server=proxy.example.test:443 \\\n"),
        ("tokens add --type=app", "--auth-server=proxy.example.test:443\n"),
        ("tokens add --type=app,proxy", &auth),
        ("tokens add --type=proxy", &auth),
    ] {
        let said = tool.done(line);
        assert!(said.contains(expected), "{line}: {said}");
    }
}
