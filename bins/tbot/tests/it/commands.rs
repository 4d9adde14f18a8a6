//! What is typed wrong, what is not built, and the commands that need no server.

use std::os::unix::fs::PermissionsExt;

use crate::support::tbot;

const PIN: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A command line, what it ends with, and what a person reads.
#[test]
fn a_refusal_names_what_is_to_be_changed() {
    let pin = format!("--ca-pin={PIN}");
    let start = ["start", "--oneshot", "--auth-server=127.0.0.1:1", "--token=t", "--storage=memory://"];
    let with = |more: &[&'static str]| [&start[..], more].concat();
    let identity = |more: &'static str| {
        let mut line = vec!["start", "identity", "--auth-server=127.0.0.1:1", "--token=t", "--storage=memory://"];
        line.push(more);
        line
    };
    let cases: &[(Vec<&str>, i32, &[&str])] = &[
        (with(&["--ca-pin=abc"]), 8, &["--ca-pin", "\"abc\"", "tctl status"]),
        (with(&["--proxy-server=p:443"]), 8, &["--auth-server", "--proxy-server", "exclude"]),
        (with(&["--join-method=github", "--insecure"]), 7, &["\"github\" is not supported yet"]),
        (with(&["--fips", "--insecure"]), 7, &["FIPS"]),
        (with(&["--scoped", "--insecure"]), 7, &["scoped"]),
        (with(&[]), 8, &["--ca-pin", "ca_path"]),
        (vec!["start", "--oneshot", "--storage=memory://"], 8, &["--auth-server", "--proxy-server"]),
        (
            vec!["start", "--storage=memory://", "--auth-server=127.0.0.1:1", &pin],
            8,
            &["no join token", "onboarding.token"],
        ),
        (
            vec!["start", "--storage=memory://", "--auth-server=127.0.0.1:1", "--token=/does/not/exist", &pin],
            8,
            &["cannot read the join token from /does/not/exist"],
        ),
        (
            vec!["start", "--oneshot", "--proxy-server=127.0.0.1:1", "--token=t", "--storage=memory://"],
            6,
            &["cannot reach the proxy at 127.0.0.1:1", "one-shot mode waits no longer"],
        ),
        (identity("--destination=kubernetes-secret://s"), 7, &["kubernetes_secret (s) is not supported yet"]),
        (
            vec![
                "start",
                "database",
                "--service=s",
                "--username=u",
                "--database=d",
                "--destination=memory://",
                "--auth-server=127.0.0.1:1",
            ],
            7,
            &["\"database\""],
        ),
        (vec!["start", "-c", "/does/not/exist"], 8, &["/does/not/exist"]),
        (vec!["db", "ls", "--flag"], 7, &["tbot db is not supported yet"]),
        (vec!["proxy", "--destination-dir=/nowhere", "app", "--port=0", "NAME"], 8, &["/nowhere/tlscert"]),
        (vec!["proxy", "app", "--port=0", "NAME"], 8, &["--destination-dir"]),
        (vec!["proxy", "--destination-dir=/nowhere", "app", "--port=1:2", "NAME"], 8, &["--proxy-server"]),
        (
            vec!["proxy", "--destination-dir=/nowhere", "--proxy=p:1", "app", "--port=1:2", "N"],
            8,
            &["/nowhere/identity"],
        ),
        (vec!["proxy", "app", "--port=1:2", "NAME"], 8, &["allow_reissue: true"]),
        (vec!["proxy", "--destination-dir=/nowhere", "app", "--port=1:b", "NAME"], 2, &["--port", "1234:5432"]),
        (vec!["proxy", "--destination-dir=D", "db", "--port=1", "NAME"], 7, &["tbot proxy db is not supported yet"]),
        (vec!["kube", "credentials", "--destination-dir=D"], 7, &["tbot kube is not supported yet"]),
        (vec!["ssh-proxy-command", "--host=h"], 7, &["ssh-proxy-command is not supported yet"]),
        (vec!["ssh-multiplexer-proxy-command", "s", "h:1"], 7, &["ssh-multiplexer-proxy-command is not"]),
        (vec!["spiffe-inspect", "--path=s"], 7, &["spiffe-inspect is not supported yet"]),
        (vec!["tpm", "identify"], 7, &["tbot tpm is not supported yet"]),
        (vec!["copy-binaries", "/tmp", "--include-fdpass"], 7, &["fdpass-teleport is not supported yet"]),
        (vec!["wait", "--diag-addr=127.0.0.1:1", "--timeout=1ms"], 6, &["127.0.0.1:1", "refused"]),
        (vec!["nonsense"], 2, &["nonsense"]),
    ];
    for (line, code, words) in cases {
        let outcome = tbot(&[], line);
        assert_eq!(outcome.code, *code, "{line:?}\n{}", outcome.err);
        for word in *words {
            assert!(outcome.err.contains(word), "{line:?}: {word}\n{}", outcome.err);
        }
    }
}

#[test]
fn a_reader_that_nobody_knows_is_named_with_its_flag_or_key() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let directory = home.join("d").display().to_string();
    for (line, word) in [
        (
            vec!["init", "--destination-dir", &directory, "--bot-user=root", "--reader-user=nosuch"],
            "--reader-user: user",
        ),
        (vec!["init", "--destination-dir", &directory, "--bot-user=nosuch", "--reader-user=root"], "--bot-user: user"),
        (vec!["init", "--destination-dir", &directory, "--owner=root:nosuch"], "--owner: group"),
        (
            vec![
                "start",
                "identity",
                "--auth-server=127.0.0.1:1",
                "--token=t",
                "--insecure",
                "--storage=memory://",
                "--reader-user=nosuch",
                "--destination",
                &directory,
            ],
            "readers of",
        ),
    ] {
        let outcome = tbot(&[], &line);
        assert_eq!(outcome.code, 8, "{line:?}\n{}", outcome.err);
        assert!(outcome.err.contains(word) && outcome.err.contains("\"nosuch\""), "{line:?}\n{}", outcome.err);
    }
}

#[test]
fn configure_says_what_the_file_still_lacks() {
    let unfit = tbot(&[], &["configure", "identity", "--destination=/d"]);
    assert_eq!(unfit.code, 0);
    assert!(unfit.out.contains("type: identity"), "the file is written all the same: {}", unfit.out);
    for words in ["--auth-server or --proxy-server", "names no onboarding.token"] {
        assert!(unfit.err.contains(words), "{}", unfit.err);
    }
    let form = ["configure", "db", "--service=s", "--username=u", "--database=d", "--destination=/d"];
    let later = tbot(&[], &[&form[..], &["--auth-server=a:1", "--token=t"]].concat());
    assert!(later.err.contains("\"database\" is not supported yet") && later.err.contains("--ca-pin"), "{}", later.err);
    let pin = format!("--ca-pin={PIN}");
    let good = tbot(&[], &["configure", "id", "--destination=/d", "--auth-server=a:1", "--token=t", &pin]);
    assert_eq!((good.code, good.err.as_str()), (0, ""));
}

#[test]
fn the_environment_stands_behind_the_flags() {
    let environment = [
        ("TELEPORT_AUTH_SERVER", "auth.env:1"),
        ("TELEPORT_BOT_TOKEN", "env-token"),
        ("TBOT_REGISTRATION_SECRET", "env-secret"),
        ("TELEPORT_ANONYMOUS_TELEMETRY", "1"),
        ("TBOT_DEBUG", "1"),
    ];
    let plain = tbot(&environment, &["configure", "noop"]).out;
    for words in ["auth_server: auth.env:1", "token: env-token", "debug: true"] {
        assert!(plain.contains(words), "{words}\n{plain}");
    }
    assert!(!plain.contains("env-secret"), "a secret of another join method: {plain}");
    let flags = tbot(&environment, &["configure", "noop", "--proxy-server=p:443", "--token=flag", "--no-debug"]).out;
    assert!(flags.contains("proxy_server: p:443") && !flags.contains("auth.env"), "{flags}");
    assert!(flags.contains("token: flag") && !flags.contains("debug"), "{flags}");
    let uri = tbot(&environment, &["configure", "noop", "--join-uri=tbot+auth+token://of-uri@a:1"]).out;
    assert!(uri.contains("token: of-uri") && uri.contains("auth_server: a:1"), "{uri}");
    let bound = tbot(&environment, &["configure", "noop", "--join-method=bound_keypair"]).out;
    assert!(bound.contains("registration_secret: env-secret"), "{bound}");
    let own = ["configure", "noop", "--join-method=bound_keypair", "--registration-secret-path=/s"];
    let own = tbot(&environment, &own).out;
    assert!(own.contains("registration_secret_path: /s") && !own.contains("env-secret"), "{own}");
    let both = tbot(&[("TELEPORT_AUTH_SERVER", "a:1"), ("TELEPORT_PROXY", "p:1")], &["configure", "noop"]);
    assert!(both.code == 8 && both.err.contains("TELEPORT_PROXY"), "{}", both.err);
    for (said, code) in [("0", 0), ("false", 0), ("yes", 0), ("", 0)] {
        assert_eq!(tbot(&[("TBOT_DEBUG", said)], &["version"]).code, code, "TBOT_DEBUG={said}");
    }
    let bad = tbot(
        &[("HTTPS_PROXY", "ftp://u:s3cret@p")],
        &["start", "--auth-server=a:1", "--token=t", "--storage=memory://"],
    );
    assert!(bad.code == 8 && bad.err.contains("HTTPS_PROXY") && !bad.err.contains("s3cret"), "{}", bad.err);
}

#[test]
fn a_key_for_a_token_is_made_once() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let storage = format!("--storage=file://{}", home.join("state").display());
    let create = |more: &[&str]| tbot(&[], &[&["keypair", "create", &storage, "--proxy-server=p:443"], more].concat());
    let first = create(&[]);
    assert_eq!(first.code, 0, "{}", first.err);
    let public = std::fs::read_to_string(home.join("state/id_bkp.pub")).unwrap();
    for words in ["keypair has been written to storage", public.trim(), "initial_public_key"] {
        assert!(first.out.contains(words), "{words}\n{}", first.out);
    }
    let mode = std::fs::metadata(home.join("state/id_bkp")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!first.out.contains("PRIVATE"), "{}", first.out);
    let again = create(&[]);
    assert!(again.code == 4 && again.err.contains("--overwrite"), "{}", again.err);
    let replaced: serde_json::Value = serde_json::from_str(&create(&["--overwrite", "--format=json"]).out).unwrap();
    let now = std::fs::read_to_string(home.join("state/id_bkp.pub")).unwrap();
    assert!(now != public && replaced["public_key"] == now.trim());

    let path = home.join("static.pem");
    let flag = format!("--static-key-path={}", path.display());
    let fixed: serde_json::Value = serde_json::from_str(&create(&["--static", "--format=json", &flag]).out).unwrap();
    let key = crypto::KeyPair::from_pem(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(fixed["public_key"].as_str().unwrap(), key.public().to_authorized_key().trim_end());
    assert!(fixed["private_key"].as_str().unwrap().len() > 100, "base64 of the PEM");
    assert!(create(&["--static"]).out.contains("cannot be rotated"));
    assert_eq!(std::fs::read_to_string(home.join("state/id_bkp.pub")).unwrap(), now, "the storage keeps its own");
}

#[test]
fn the_program_copies_itself_and_says_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("bin");
    let copied = tbot(&[], &["copy-binaries", place.to_str().unwrap()]);
    assert_eq!(copied.code, 0, "{}", copied.err);
    let version = std::process::Command::new(place.join("tbot")).args(["version", "--format=json"]).output().unwrap();
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1, "nothing temporary is left");
    let command = tbot(&[], &["version"]).out;
    for flag in ["--version", "-V"] {
        assert_eq!(tbot(&[], &[flag]).out, command);
    }
}

#[test]
fn a_unit_is_replaced_by_force_only_and_doubts_about_it_are_said() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("tbot.yaml");
    std::fs::write(&config, "version: v2\nservices: [{type: application-proxy, listen: 'tcp://127.0.0.1:80'}]\n")
        .unwrap();
    let flags = ["--user=nosuch", "--group=root", "--write", "--systemd-directory", home.path().to_str().unwrap()];
    let line = [&["install", "systemd", "-c", config.to_str().unwrap()], &flags[..]].concat();
    let unit = home.path().join("tbot.service");
    std::fs::write(&unit, b"\xff").unwrap();
    let refused = tbot(&[], &line);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.contains("--force") && refused.err.contains("--user: user \"nosuch\""), "{}", refused.err);
    assert_eq!(std::fs::read(&unit).unwrap(), b"\xff");
    let forced = tbot(&[], &[&line[..], &["--force"]].concat());
    assert_eq!(forced.code, 0, "{}", forced.err);
    let written = std::fs::read_to_string(&unit).unwrap();
    assert!(written.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE\n"), "{written}");
    std::fs::write(&config, "version: v2\nservces: []\n").unwrap();
    let doubted = tbot(&[], &[&line[..], &["--force"]].concat());
    assert!(doubted.code == 0 && doubted.err.contains("did you mean \"services\""), "{}", doubted.err);
}
