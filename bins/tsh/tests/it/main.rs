//! The program as a person types it.

#![allow(clippy::unwrap_used, reason = "a test that fails shall panic where it fails")]
#![allow(clippy::large_futures, reason = "a test's stack is its own")]

mod apps;

use std::process::{Command, Output};

fn tsh(arguments: &[&str]) -> (i32, String, String) {
    tsh_at("/nowhere", arguments)
}

/// With a home of its own.
fn tsh_at(home: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tsh"));
    let Output { status, stdout, stderr } = command.env_clear().env("HOME", home).args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_refusal_names_what_is_to_be_changed() {
    for (line, code, words) in [
        (&["apps", "ls"][..], 2, "--proxy=HOST:PORT"),
        (&["--proxy=127.0.0.1:1", "apps", "ls"], 7, "tsh login is not supported yet"),
        (&["--proxy=127.0.0.1:1", "-i", "/nowhere", "apps", "ls"], 8, "identity file /nowhere cannot be used"),
        (&["--proxy=127.0.0.1:1", "-i", "/nowhere", "apps", "logout"], 8, "/nowhere"),
        (&["proxy", "app", "a", "--port=x"], 2, "\"x\" is no port"),
        (&["proxy", "db", "a"], 7, "tsh proxy app"),
        (&["login", "--user=alice"], 7, "tsh login is not supported yet"),
        (&["ssh", "root@host", "ls", "-l"], 7, "tsh ssh is not supported yet"),
        (&["workload-identity", "issue-x509", "--output=d"], 7, "tsh workload-identity is not supported yet"),
        (&["login", "--ttl=60", "--user=alice", "--insecure"], 7, "tsh login is not supported yet"),
        (&["--insecure", "apps", "ls"], 7, "--insecure: the identity file says"),
        (&["--ttl=60", "apps", "ls"], 7, "--ttl: what is made from an identity file"),
        (&["--headless", "apps", "ls"], 7, "--headless: signing in"),
        (&["-J", "jump", "apps", "ls"], 7, "--jumphost: access to SSH hosts"),
        (&["apps", "login", "console", "--aws-role=admin"], 7, "--aws-role: access to clouds"),
        (&["apps", "login", "console", "--azure-identity=x"], 7, "--azure-identity: access to clouds"),
        (&["apps", "login", "console", "--gcp-service-account=x"], 7, "--gcp-service-account: access to clouds"),
        (&["apps", "ls", "env"], 2, "write key=value"),
        (&["nonsense"], 2, "nonsense"),
    ] {
        let (status, _, said) = tsh(line);
        assert_eq!(status, code, "{line:?}\n{said}");
        assert!(said.contains(words), "{line:?}: {words}\n{said}");
    }
}

#[test]
fn the_version_is_for_people_and_programs() {
    let (code, text, _) = tsh(&["version"]);
    assert!(code == 0 && text.starts_with("Tessera v18.") && text.ends_with(" tsh\n"), "{text}");
    let (_, json, _) = tsh(&["version", "--format=json"]);
    assert!(json.contains("\"version\": \"18."), "{json}");
    assert_eq!(tsh(&["version", "--client"]).1, text);
    assert!(tsh(&["completion", "bash"]).1.contains("_tsh"));
}
