//! The server as a process: what HUP and USR2 do to it.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic where it fails")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Running {
    child: Child,
    diag: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn write_config(directory: &Path, port: u16, diag: &str, mistake: &str) {
    let text = format!(
        "teleport: {{data_dir: {0}/data, diag_addr: \"{diag}\", log: {{output: {0}/log}}}}\n\
         auth_service: {{enabled: yes, cluster_name: signals.example, listen_addr: \"127.0.0.1:{port}\"{mistake}}}\n\
         proxy_service: {{enabled: no}}\nssh_service: {{enabled: no}}\n",
        directory.display()
    );
    std::fs::write(directory.join("tessera.yaml"), text).unwrap();
}

fn is_ready(diag: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(diag) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.1 200")
}

#[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..600 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 30 s: {what}");
}

fn lines(directory: &Path, wanted: &str) -> usize {
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    log.lines().filter(|line| line.contains(wanted)).count()
}

#[test]
fn hup_and_usr2_begin_anew_in_the_same_process_and_a_mistake_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (port, diag) = (free_port(), format!("127.0.0.1:{}", free_port()));
    write_config(at, port, &diag, "");
    let child = Command::new(env!("CARGO_BIN_EXE_tessera"))
        .args(["start", "-c"])
        .arg(at.join("tessera.yaml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Running { child, diag };
    let send = |signal: &str| {
        let id = server.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    };
    wait_until("the first start", || is_ready(&server.diag));

    for (times, signal) in [(2, "HUP"), (3, "USR2")] {
        send(signal);
        wait_until(signal, || lines(at, "started milliseconds") == times && is_ready(&server.diag));
    }
    write_config(at, port, &server.diag, ", clustername: x");
    send("HUP");
    wait_until("the refusal", || lines(at, "not restarted") == 1);
    assert!(is_ready(&server.diag));
    assert!(server.child.try_wait().unwrap().is_none(), "the process is the one that was started");
}
