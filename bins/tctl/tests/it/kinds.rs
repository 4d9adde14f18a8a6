//! `create`, `get`, `edit` and `rm` for every kind of resource.

use crate::support::Tool;

const DOCUMENTS: &str = "\
kind: role
version: v7
metadata: {name: deployer, labels: {team: a}}
spec: {allow: {logins: [deploy]}}
---
kind: user
version: v2
metadata: {name: alice}
spec: {roles: [deployer]}
---
kind: bot
version: v1
metadata: {name: ci}
spec: {roles: [deployer]}
---
kind: token
version: v2
metadata: {name: gh}
spec: {roles: [Bot], bot_name: ci, join_method: github, github: {allow: [{repository: o/r}]}}
---
kind: lock
version: v2
metadata: {name: 6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11}
spec: {target: {user: mallory}, message: stolen}
---
kind: app
version: v3
metadata: {name: grafana}
spec: {uri: 'http://127.0.0.1:3000'}
---
kind: cluster_auth_preference
version: v2
metadata: {name: cluster-auth-preference}
spec: {default_session_ttl: 10h}
---
kind: cluster_networking_config
version: v2
metadata: {name: cluster-networking-config}
spec: {client_idle_timeout: 30m}
---
kind: session_recording_config
version: v2
metadata: {name: session-recording-config}
spec: {mode: off}
";

/// References that can be created, changed and deleted.
const NAMED: [&str; 6] =
    ["role/deployer", "user/alice", "bot/ci", "token/gh", "lock/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11", "app/grafana"];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_read_changed_and_deleted() {
    let tool = Tool::start().await;
    let made = tool.run("create", DOCUMENTS, &[]);
    seen!("created", tool.stable(&format!("{}{}[exit {}]", made.stdout, made.stderr, made.code)));
    let again = tool.run("create", DOCUMENTS, &[]);
    assert_eq!((again.code, again.stderr.contains("already exists")), (4, true), "{}", again.stderr);
    let replaced = tool.run("create -f", DOCUMENTS, &[]);
    seen!("replaced", replaced.stdout);
    let singletons = ["cap", "cluster_networking_config", "session_recording_config"];
    for reference in NAMED.iter().chain(&singletons) {
        let json: serde_json::Value =
            serde_json::from_str(&tool.done(&format!("get {reference} --format=json"))).unwrap();
        assert_eq!(json.as_array().map(Vec::len), Some(1), "{reference}: an array, also of one");
        let yaml = tool.done(&format!("get {reference}"));
        let back = tool.run("create -f", &yaml, &[]);
        assert_eq!(back.code, 0, "what get prints is what create reads: {reference}: {}", back.stderr);
        let unchanged = tool.run(&format!("edit {reference}"), "", &[("EDITOR", "true")]);
        assert_eq!(unchanged.stdout, "edit canceled, nothing was changed\n", "{reference}: {}", unchanged.stderr);
    }
    seen!(tool.transcript(&[
        "get role/deployer",
        "get roles --format=text",
        "get users --format=text",
        "get bots --format=text",
        "get tokens --format=text",
        "get locks --format=text",
        "get apps --format=text",
        "get app_servers --format=text",
        "get cap,role/deployer --format=text",
        "get cas --format=text",
        "get role/nobody",
        "rm role/deployer,user/alice",
        "rm bot/ci",
        "rm token/gh",
        "rm lock/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11",
        "rm app/grafana",
        "rm cap",
        "rm cluster_networking_config",
        "rm session_recording_config",
        "rm user/alice",
        "rm bot_instance/ci",
        "rm cert_authority/user",
        "rm cluster_audit_config",
        "get cluster_name",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_changes_a_resource_and_a_wrong_text_is_kept() {
    let tool = Tool::start().await;
    tool.run("create", DOCUMENTS, &[]);
    let edit = |reference: &str, script: &str| {
        tool.run(&format!("edit {reference}"), "", &[("TELEPORT_EDITOR", script), ("EDITOR", "false")])
    };
    let run = edit("role/deployer", "sed -i s/deploy$/root/");
    assert_eq!((run.code, run.stdout.as_str()), (0, "role 'deployer' has been updated\n"), "{}", run.stderr);
    assert!(tool.done("get role/deployer").contains("- root\n"));
    let run = edit("role/deployer", "sed -i s/name:/nmae:/");
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("your text is kept in"), "{}", run.stderr);
    let run = edit("role/deployer", "sed -i s/deployer/other/");
    assert!(run.code == 8 && run.stderr.contains("cannot be renamed"), "{}", run.stderr);
    let run = edit("role/deployer", "false");
    assert!(run.code == 1 && run.stderr.contains("failed, nothing was changed"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_a_backup_that_another_cluster_takes() {
    let (tool, other) = (Tool::start().await, Tool::start().await);
    tool.run("create", DOCUMENTS, &[]);
    let backup = tool.done("get all");
    for kind in ["role", "user", "bot", "token", "lock", "app", "cluster_auth_preference", "cert_authority"] {
        assert!(backup.contains(&format!("kind: {kind}\n")), "{kind} is in the backup");
    }
    assert!(!backup.contains("\n  name: bot-ci\n"), "the bot brings its user and role");
    assert!(!backup.contains("PRIVATE KEY"));
    let again = tool.run("create -f", &backup, &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let documents: Vec<&str> = backup.split("---\n").filter(|text| !text.contains("kind: cert_authority\n")).collect();
    let taken = other.run("create -f", &documents.join("---\n"), &[]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(other.done("bots ls").contains("bot-ci"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_document_names_file_line_and_key() {
    let tool = Tool::start().await;
    tool.write("typo.yaml", "kind: role\nversion: v7\nmetadata: {name: ci}\nspec:\n  allow:\n    lgins: [root]\n");
    tool.write(
        "type.yaml",
        "kind: role\nversion: v7\nmetadata: {name: ci}\nspec:\n  allow:\n    app_labels:\n      env: 3\n",
    );
    tool.write("kind.yaml", "kind: rol\nversion: v7\nmetadata: {name: ci}\n");
    tool.write("later.yaml", "kind: node\nversion: v2\nmetadata: {name: ci}\n");
    tool.write("empty.yaml", "");
    seen!(tool.transcript(&[
        "create DIR/typo.yaml",
        "create DIR/type.yaml",
        "create DIR/kind.yaml",
        "create DIR/later.yaml",
        "create DIR/empty.yaml",
        "create DIR/missing.yaml",
    ]));
}

/// What stands in the output of another cluster, and what does not come along.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_cluster_is_told_of_what_stays_behind() {
    let tool = Tool::start().await;
    let derived = "kind: role\nversion: v7\nmetadata: {name: bot-ci, labels: {teleport.internal/bot: ci}}\nspec: {}\n---\n\
                   kind: user\nversion: v2\nmetadata: {name: bot-ci, labels: {teleport.internal/bot: ci}}\nspec: {}\n---\n\
                   kind: bot\nversion: v1\nmetadata: {name: ci}\nspec: {roles: []}\n---\n\
                   kind: token\nversion: v2\nmetadata: {name: 63f9aa11bb22cc33}\n\
                   spec: {roles: [Bot], bot_name: ci, join_method: token}\n";
    let refused = "kind: bot\nversion: v1\nmetadata: {name: b}\nspec: {}\n---\n\
                   kind: user\nversion: v2\nmetadata: {name: bob}\nspec: {roles: [no-such-role]}\n";
    let behind = "kind: node\nversion: v2\n---\nkind: db\nversion: v3\n";
    let mut text = String::new();
    let slip = "kind: role\nversion: v7\nmetadata: {name: slip}\n\
                spec: {allow: {rules: [{resources: [tokenz, '*', node, workload_identity], verbs: [list]}]}}\n";
    for input in [derived, refused, behind, slip] {
        let run = tool.run("create -f", input, &[]);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("63f9aa11bb22cc33"), "a secret is masked");
        text.push_str(&format!("{}{}[exit {}]\n\n", run.stdout, run.stderr, run.code));
    }
    seen!("moved", tool.stable(&text));
}
