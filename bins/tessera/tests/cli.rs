//! The commands as a shell sees them: exit codes, texts, and a file that `configure` wrote.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic where it fails")]

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

fn tessera(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tessera")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Exit code and everything that was said.
fn said(arguments: &[&str]) -> (i32, String) {
    let output = tessera(arguments);
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn each_failure_ends_with_the_documented_code() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.yaml", &format!("teleport: {{data_dir: {}/data}}\n", directory.path().display()));
    let typo = file("typo.yaml", "auth_service: {cluster_nam: x}\n");
    let no_trust_domain = file("upper.yaml", "auth_service: {cluster_name: Example.Com}\n");
    let proxy = file("proxy.yaml", "proxy_service: {kubernetes: {enabled: yes}}\n");
    let agent = file("agent.yaml", "auth_service: {enabled: no}\napp_service: {enabled: yes}\n");
    let off = file("off.yaml", "auth_service: {enabled: no}\n");
    let existing = file("existing.yaml", "");
    let data_dir_is_a_file = file("odd.yaml", &format!("teleport: {{data_dir: {existing}}}\n"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = file(
        "taken.yaml",
        &format!(
            "teleport: {{data_dir: {}/taken}}\nauth_service: {{listen_addr: '{}'}}\n",
            directory.path().display(),
            port.local_addr().unwrap()
        ),
    );
    let elsewhere = format!("--data-dir={}/elsewhere", directory.path().display());
    let nowhere = file(
        "nowhere.yaml",
        "proxy_service: {public_addr: p.example, https_keypairs: [{key_file: /nowhere/key, cert_file: /nowhere/crt}]}\n",
    );
    for (arguments, code, text) in [
        (&["check", &nowhere][..], 8, "nowhere.yaml:1:58: proxy_service.https_keypairs: cannot read /nowhere/crt"),
        (&["start", "-c", &good, "--fips"][..], 7, "--fips is not supported: this program contains no validated"),
        (&["start", "-c", &good, "--insecure-no-tls"], 7, "speak TLS to the proxy"),
        (&["start", "-c", &good, "--permit-user-env"], 7, "access to SSH hosts"),
        (&["start", "-c", &off], 8, "no service is enabled"),
        (&["check", &off], 8, "no service is enabled"),
        (&["start", "-c", &off, "--roles=app", "--app-name=x", "--app-uri=http://x"], 8, "the agent has no cluster"),
        (&["start", "-c", &good, "--app-name=x", "--app-uri=tcp://x"], 8, "needs a port"),
        (&["start", "-c", &good, "--roles=auth,node"], 7, "\"node\" is not supported yet"),
        (&["start", "-c", &good, "--roles=proxy"], 8, "the proxy has no auth service"),
        (&["start", "-c", &good, "--app-name=x"], 2, "--app-uri"),
        (&["start", "-c", &good, "--app-name=x", "--app-uri=ftp://x"], 8, "--app-uri: "),
        (&["app", "start", "-c", &good, "--name=x", "--uri=localhost:3300"], 8, "ERROR: --uri: "),
        (&["app", "start", "-c", &good, "--name=x", "--uri=http://x"], 8, "the agent has no cluster"),
        (&["start", "-c", &taken], 4, "cannot be used; is another server running?: "),
        (
            &[
                "app",
                "start",
                "-c",
                &good,
                "--name=x",
                "--uri=http://x",
                "--auth-server=localhost",
                "--token=/no/token",
                &elsewhere,
            ],
            8,
            "the join token cannot be read from /no/token: ",
        ),
        (&["start", "-c", &good, "--roles=authh"], 2, "auth"),
        (&["start", "-c", &good, "--diag-addr=host:port"], 8, "--diag-addr"),
        (&["start", "-c", &typo], 8, "did you mean \"cluster_name\"?"),
        (&["start", "-c", &data_dir_is_a_file], 1, "is not a directory"),
        (&["start", "--no-such-flag"], 2, "unexpected argument"),
        (&["check", &typo], 8, "auth_service.cluster_nam: unknown key"),
        (&["check", &proxy], 8, "proxy_service.kubernetes: not supported yet"),
        (&["check", "/no/such/file"], 8, "cannot be read"),
        (&["check", &good], 0, "is valid; this is what it means"),
        (&["configure", "--acme-email=a@example.com"], 2, "--acme"),
        (&["configure", "--cert-file=x"], 2, "--key-file"),
        (&["configure", "--roles=app"], 8, "has no cluster"),
        (
            &["configure", "--roles=app", "--proxy=p.example.com", "--app-name=a", "--app-uri=http://b"],
            0,
            "uri: http://b",
        ),
        (&["configure", "--signature-algorithm-suite=fast"], 2, "balanced-v1"),
        (&["configure", "-o", &existing], 4, "exists already"),
        (&["configure", "--cluster-name=Foo Bar!"], 8, "must be 1 to 255 letters, digits, dots, dashes or underscores"),
        (&["configure", "--cluster-name=Foo_Bar"], 0, "is no valid SPIFFE trust domain"),
        (&["check", &no_trust_domain], 0, "is no valid SPIFFE trust domain"),
        (&["debug", "get-log-level", "-c", &good], 6, "no server can be asked"),
        (&["debug", "set-log-level", "LOUD", "-c", &good], 2, "possible values"),
        (&["install", "systemd", "-c", &good], 0, "ReadWritePaths="),
        (&["install", "systemd", "-c", &good], 0, "install -d -o tessera -m 0711"),
        (&["install", "systemd", "-c", &good, "--user=no-such-user"], 0, "--user: there is no user \"no-such-user\""),
        (&["install", "systemd", "-c", &good, "--user=root"], 0, "User=root"),
        (&["install", "systemd", "-c", "/no/such/file"], 0, "WARNING: /no/such/file is not there yet"),
        (&["install", "systemd", "-c", &typo], 8, "did you mean \"cluster_name\"?"),
        (&["node", "configure", "--token=x"], 7, "tessera node is not supported yet"),
        (&["db", "start"], 7, "tessera db is not supported yet"),
        (&["join", "openssh"], 7, "tessera join is not supported yet"),
        (&["backend", "clone"], 7, "tessera backend is not supported yet"),
        (&["status"], 7, "tctl status"),
        (&["start", "-c", &good, "--roles=app", "--auth-server=a", "--ca-pin=zz"], 8, "\"zz\" is no pin"),
        (&["version"], 0, "Tessera v18"),
        (&["--version"], 0, concat!("Tessera v", env!("CARGO_PKG_VERSION"), "\n")),
        (&["check", &agent], 8, "has no cluster"),
        (&["check", "-q", &agent], 8, "has no cluster"),
        (&["completion", "zsh"], 0, "set-log-level"),
    ] {
        let (found, output) = said(arguments);
        assert_eq!(found, code, "{arguments:?}: {output}");
        assert!(output.contains(text), "{arguments:?}: {output}");
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
fn wait_for_code(wanted: i32, arguments: &[&str]) -> String {
    let mut last = String::new();
    for _ in 0..600 {
        let (code, text) = said(arguments);
        if code == wanted {
            return text;
        }
        last = text;
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 30 s: {last}");
}

#[test]
fn what_configure_writes_starts_and_can_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, data_dir, pid_file) = (path("tessera.yaml"), path("data"), path("pid"));
    let data_dir_flag = format!("--data-dir={data_dir}");
    let (code, text) = said(&[
        "configure",
        "--cluster-name=cli.example",
        "--listen-addr=127.0.0.1:0",
        "--public-addr=auth.example.com:3025,auth.example.org",
        "--nodename=one",
        "--signature-algorithm-suite=fips-v1",
        &data_dir_flag,
        "-o",
        &file,
    ]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(said(&["check", "-q", &file]), (0, String::new()));
    let server = Command::new(env!("CARGO_BIN_EXE_tessera"))
        .args(["start", "-c", &file, "--diag-addr=127.0.0.1:0", "--pid-file", &pid_file])
        .args(["--roles=auth", "--nodename=two", "--advertise-ip=127.0.0.1", "-l", "127.0.0.1"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Running(server);
    let ready = wait_for_code(0, &["debug", "readyz", "-c", &file]);
    assert!(ready.contains(r#""status":"ok""#), "{ready}");
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), server.0.id().to_string());
    let (code, second) = said(&["start", "-c", &file, "--pid-file", &pid_file, "--diag-addr=127.0.0.1:0"]);
    assert!(code == 4 && second.contains("in use by another process"), "{second}");
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap().trim(), server.0.id().to_string(), "{second}");
    assert_eq!(said(&["debug", "get-log-level", "-c", &file]), (0, "INFO\n".to_owned()));
    let (_, changed) = said(&["debug", "set-log-level", "debug", "-c", &file]);
    assert_eq!(changed, "Changed log level from \"INFO\" to \"DEBUG\".\n");
    assert_eq!(said(&["debug", "get-log-level", "-c", &file]), (0, "DEBUG\n".to_owned()));
    assert!(said(&["debug", "metrics", "-c", &file]).1.contains("process_resident_memory_bytes"));
    let (code, text) = said(&["debug", "profile", "-c", &file]);
    assert!(code == 7 && text.contains("perf record -g -p"), "{code} {text}");
    assert!(Command::new("kill").arg(server.0.id().to_string()).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert!(!Path::new(&data_dir).join("debug.sock").exists() && !Path::new(&pid_file).exists());
}
