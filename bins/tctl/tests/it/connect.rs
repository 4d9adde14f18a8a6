//! How the tool finds its server and shows who it is, and what it says when that fails.

use std::{fs, os::unix::fs::PermissionsExt};

use testkit::Cluster;

use crate::support::Tool;

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_file_works_from_elsewhere_and_its_failures_name_the_next_step() {
    let tool = Tool::start().await;
    tool.done("users add alice --roles=editor");
    tool.done("users add bob --roles=access");
    tool.done("auth sign --user=alice --out=DIR/alice.pem --ttl=1h");
    tool.done("auth sign --user=bob --out=DIR/bob.pem --ttl=1h");
    tool.done("auth sign --user=alice --out=DIR/short.pem --ttl=1s");
    tool.write("not.pem", "nothing");
    let other = Cluster::start().await;
    let other = other.address();
    tokio::task::spawn_blocking(move || {
        let environment = [
            ("TELEPORT_AUTH_SERVER", tool.cluster.address().to_string()),
            ("TELEPORT_IDENTITY_FILE", tool.path("alice.pem").display().to_string()),
        ];
        let alice = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let run = tool.run("get role/editor --format=text", "", &alice);
        assert!(run.code == 0 && run.stdout.contains("editor"), "{}", run.stderr);
        for line in ["get roles", "users rm alice", "lock --user=alice", "auth sign --user=alice"] {
            let run = tool.run(&format!("-i DIR/bob.pem --auth-server=AUTH {line}"), "", &[]);
            assert_eq!(run.code, 5, "{line}: {}", run.stderr);
            assert!(run.stderr.starts_with("ERROR: access denied"), "{line}: {}", run.stderr);
        }
        let exported = [("TELEPORT_IDENTITY_FILE", tool.path("bob.pem").display().to_string()), environment[0].clone()];
        let exported = exported.each_ref().map(|(name, value)| (*name, value.as_str()));
        let refused = tool.run("auth sign --user=alice", "", &exported).stderr;
        assert!(refused.contains("as \"bob\"") && refused.contains("unset TELEPORT_IDENTITY_FILE"), "{refused}");
        while tool.run("-i DIR/short.pem --auth-server=AUTH status", "", &[]).code == 0 {}
        seen!(tool.transcript(&[
            "-i DIR/alice.pem --auth-server=AUTH get user/alice --format=text",
            "-i DIR/alice.pem --auth-server=AUTH --insecure get user/alice --format=text",
            "-i DIR/short.pem --auth-server=AUTH status",
            "-i DIR/missing.pem --auth-server=AUTH status",
            "-i DIR/not.pem --auth-server=AUTH status",
            &format!("-i DIR/alice.pem --auth-server={other} status"),
            "-i DIR/alice.pem --auth-server=127.0.0.1:1 status",
        ]));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_socket_and_what_is_said_without_it() {
    let tool = Tool::start().await;
    tool.write(
        "elsewhere.yaml",
        "version: v3\nteleport: {data_dir: /nonexistent/tessera}\nauth_service: {enabled: yes}\n",
    );
    tool.write("typo.yaml", "version: v3\nteleport: {data_dri: /x}\n");
    tool.write("disabled.yaml", "version: v3\nauth_service: {enabled: no}\n");
    tool.write("agent.yaml", "version: v3\nauth_service: {enabled: no}\napp_service: {enabled: yes}\n");
    seen!(tool.transcript(&[
        "-c DIR/elsewhere.yaml status",
        "-c DIR/missing.yaml status",
        "-c DIR/typo.yaml status",
        "-c DIR/agent.yaml status",
        "-c DIR/disabled.yaml status",
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_open_the_socket_is_denied_with_5() {
    let tool = Tool::start().await;
    let program = tool.path("tctl");
    fs::copy(env!("CARGO_BIN_EXE_tctl"), &program).unwrap();
    for (path, mode) in [(tool.path("."), 0o755), (tool.path("server.yaml"), 0o644), (program.clone(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = std::process::Command::new(&program);
    // Root is refused by no mode and becomes somebody else; everybody is refused by mode 0.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
    }
    let mode = |mode| fs::set_permissions(tool.cluster.data_dir(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0);
    let output = command.arg("-c").arg(tool.path("server.yaml")).arg("status").env_clear().output();
    mode(0o700);
    let output = output.unwrap();
    let text = tool.stable(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(5), "{text}");
    seen!(text);
}
