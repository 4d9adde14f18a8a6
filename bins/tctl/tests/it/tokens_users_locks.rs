//! `tctl tokens`, `tctl users`, `tctl lock`.

use crate::support::Tool;

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&[
        "tokens ls",
        "tokens add --type=node,app --ttl=1h --value=0123456789 --labels=team=a,env=b --app-name=x --app-uri=http://x",
        "tokens add --type=db --db-name=pg --db-protocol=postgres --db-uri=pg:5432 --value=abcdefghij",
        "tokens add --type=bot",
        "tokens add --type=toaster",
        "tokens add --type=node --app-name=x",
        "tokens add --type=node --labels=x",
        "tokens ls",
        "tokens ls --with-secrets --format=text",
        "tokens rm 0123456789",
        "tokens rm 0123456789",
        "tokens add --type=proxy --format=json",
        "tokens add --type=proxy --format=yaml",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn applications() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&[
        "apps ls",
        "apps list env=prod,team=a --search=graf,ana --query=labels.env==\"prod\" --format=json",
        "apps ls env",
        "apps ls --query=((",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn users() {
    let tool = Tool::start().await;
    seen!(tool.transcript(&[
        "users ls",
        "users add alice",
        "users add alice --roles=nobody",
        "users add alice --roles=access --ttl=49h",
        "users add alice --roles=access,editor --logins=alice,root --db-users=a --host-user-uid=1000",
        "users add alice --roles=access",
        "users add bob --roles=access --ttl=48h --format=json",
        "users ls",
        "users update alice --set-roles=auditor --set-logins=, --set-azure-identities=x",
        "get user/alice",
        "users update alice --set-roles=nobody",
        "users update nobody --set-logins=x",
        "users reset alice --ttl=2h",
        "users reset alice --ttl=25h",
        "users reset nobody",
        "users rm alice,bob",
        "users rm alice",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks() {
    let tool = Tool::start().await;
    tool.done("users add alice --roles=access");
    seen!(tool.transcript(&[
        "lock --user=alice --message=stolen --ttl=24h",
        "lock --user=nobody --role=nobody --bot-instance-id=6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11",
        "lock --join-token=abc --format=json",
        "lock --user=alice --expires=2020-01-01T00:00:00Z",
        "lock --user=alice --ttl=soon",
        "lock --user=alice --ttl=0",
    ]));
    let flags = "--login=a --mfa-device=b --device=c --server-id=d --windows-desktop=e --access-request=f";
    let json: serde_json::Value = serde_json::from_str(&tool.done(&format!("lock {flags} --format=json"))).unwrap();
    let target = serde_json::json!({"login": "a", "mfa_device": "b", "device": "c", "server_id": "d",
        "windows_desktop": "e", "access_request": "f"});
    assert_eq!(json["spec"]["target"], target);
    let list = tool.done("get locks --format=text");
    for shown in ["user=alice", "stolen", "role=nobody", "join_token=abc", "never"] {
        assert!(list.contains(shown), "{shown} in {list}");
    }
}
