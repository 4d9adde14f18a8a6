//! The server as a process: what signals do to it, and what it tells its service manager.
#![allow(clippy::unwrap_used, reason = "a test that fails shall panic where it fails")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long another process may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
    diag: String,
}

impl Running {
    /// A server that is ready, with more in its environment.
    fn start(environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [port, diag] = free_ports();
        let diag = format!("127.0.0.1:{diag}");
        write_config(directory.path(), port, &diag, "");
        let child = Command::new(env!("CARGO_BIN_EXE_tessera"))
            .args(["start", "-c"])
            .arg(directory.path().join("tessera.yaml"))
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, directory, port, diag };
        wait_until("the first start", || is_ready(&server.diag));
        server
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }

    fn starts(&self) -> usize {
        lines(self.directory.path(), "started milliseconds")
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody listens at now, each another.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
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
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.1 200")
}

#[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines(directory: &Path, wanted: &str) -> usize {
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    log.lines().filter(|line| line.contains(wanted)).count()
}

#[test]
fn hup_and_usr2_begin_anew_in_the_same_process_and_a_mistake_changes_nothing() {
    let mut server = Running::start(&[]);
    for (times, signal) in [(2, "HUP"), (3, "USR2")] {
        server.send(signal);
        wait_until(signal, || server.starts() == times && is_ready(&server.diag));
    }
    let at = server.directory.path().to_owned();
    write_config(&at, server.port, &server.diag, ", clustername: x");
    server.send("HUP");
    wait_until("the refusal", || lines(&at, "not restarted") == 1);
    let log = std::fs::read_to_string(at.join("log")).unwrap();
    let refusal = log.lines().find(|line| line.contains("not restarted")).unwrap();
    assert_eq!(refusal.matches("tessera.yaml:2:").count(), 1, "{refusal}");
    assert!(refusal.contains("unknown key (did you mean") && !refusal.contains("\\n"), "{refusal}");
    assert!(is_ready(&server.diag));
    assert!(server.is_alive(), "the process is the one that was started");
}

#[test]
fn a_restart_that_would_fail_is_not_begun() {
    let mut server = Running::start(&[]);
    let at = server.directory.path().to_owned();
    let file = at.join("tessera.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = elsewhere.local_addr().unwrap().port();
    std::fs::write(at.join("empty.pem"), "").unwrap();
    let (proxy, name) = ("proxy_service: {enabled: no}", "cluster_name: signals.example");
    let [free] = free_ports();
    let with = |more: &str| format!("proxy_service: {{public_addr: 'p.example', {more}}}");
    let pair = |name: &str| format!("https_keypairs: [{{key_file: {0}/{name}, cert_file: {0}/{name}}}]", at.display());
    let mistakes = [
        (proxy, with(&format!("web_listen_addr: '127.0.0.1:{free}', {}", pair("missing.pem"))), "missing.pem"),
        (proxy, with(&format!("web_listen_addr: '127.0.0.1:{free}', {}", pair("empty.pem"))), "empty.pem"),
        (proxy, with(&format!("web_listen_addr: '127.0.0.1:{taken}'")), "proxy_service.web_listen_addr"),
        (proxy, with(&format!("web_listen_addr: '127.0.0.1:{}'", server.port)), "both ask for port"),
        (
            proxy,
            format!(
                "{}\napp_service: {{apps: [{{name: a, uri: 'http://x'}}, {{name: a, uri: 'http://y'}}]}}",
                with("")
            ),
            "is there twice",
        ),
        (name, "cluster_name: other.example".to_owned(), "cannot be changed"),
        (name, format!("{name}, tokens: ['node:{}/missing']", at.display()), "auth_service.tokens"),
    ];
    for (index, (place, mistake, expected)) in mistakes.iter().enumerate() {
        std::fs::write(&file, good.replace(place, mistake)).unwrap();
        server.send("HUP");
        wait_until(mistake, || lines(&at, "not restarted") == index + 1);
        let log = std::fs::read_to_string(at.join("log")).unwrap();
        let refused = log.lines().rfind(|line| line.contains("not restarted")).unwrap();
        assert!(refused.contains(expected), "{expected}: {refused}");
        assert!(is_ready(&server.diag) && server.is_alive(), "{mistake}");
    }
    std::fs::write(&file, good.replace(proxy, &with(&format!("web_listen_addr: '127.0.0.1:{free}'")))).unwrap();
    server.send("HUP");
    wait_until("the proxy", || server.starts() == 2 && is_ready(&server.diag));
    assert!(server.is_alive());
}

/// Connects for as long as it lives, and counts.
struct Knocking {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(usize, usize)>>,
}

impl Knocking {
    fn at(doors: Vec<Box<dyn Fn() -> bool + Send>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = doors.into_iter().map(|door| {
            let stop = Arc::clone(&stop);
            #[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
            std::thread::spawn(move || {
                let (mut tries, mut refused) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    tries += 1;
                    refused += usize::from(!door());
                    std::thread::sleep(Duration::from_millis(1));
                }
                (tries, refused)
            })
        });
        Self { threads: threads.collect(), stop }
    }

    fn counted(self) -> Vec<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn no_connection_is_refused_while_the_server_begins_anew() {
    let server = Running::start(&[]);
    let (api, diag) = (format!("127.0.0.1:{}", server.port), server.diag.clone());
    let socket = server.directory.path().join("data/admin.sock");
    let knocking = Knocking::at(vec![
        Box::new(move || TcpStream::connect(&api).is_ok()),
        Box::new(move || TcpStream::connect(&diag).is_ok()),
        Box::new(move || UnixStream::connect(&socket).is_ok()),
    ]);
    for times in [2, 3] {
        server.send("HUP");
        wait_until("the restart", || server.starts() == times && is_ready(&server.diag));
    }
    for (tries, refused) in knocking.counted() {
        assert!(tries > 100, "{tries} tries say nothing");
        assert_eq!(refused, 0, "of {tries}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
fn a_signal_at_any_moment_of_a_restart_does_not_end_the_process() {
    let mut server = Running::start(&[]);
    let (sent, began) = (AtomicUsize::new(0), Instant::now());
    while server.starts() < 4 {
        server.send(["HUP", "USR2", "USR1"][sent.fetch_add(1, Ordering::Relaxed) % 3]);
        assert!(began.elapsed() < PATIENCE, "{} starts", server.starts());
        assert!(server.is_alive(), "after {} signals", sent.load(Ordering::Relaxed));
    }
    assert!(sent.load(Ordering::Relaxed) > 20, "the signals came too slowly to say anything");
    wait_until("calm", || is_ready(&server.diag));
    server.send("TERM");
    wait_until("its end", || !server.is_alive());
    assert!(server.child.wait().unwrap().success());
    assert!(TcpStream::connect(&server.diag).is_err());
    assert!(!server.directory.path().join("data/admin.sock").exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process has its own clock")]
fn the_service_manager_is_told_of_reloads_and_that_we_are_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |wanted: &str| {
        let (mut buffer, began) = ([0; 4096], Instant::now());
        loop {
            // It says that it is alive all the time.
            assert!(began.elapsed() < PATIENCE, "not said: {wanted}");
            let length = manager.recv(&mut buffer).expect("the manager hears nothing more");
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.starts_with(wanted) {
                return said;
            }
        }
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = Running::start(&environment);
    hear("STATUS=serving signals.example at 127.0.0.1:");
    hear("READY=1");
    hear("WATCHDOG=1");
    server.send("HUP");
    assert!(hear("RELOADING=1").contains("\nMONOTONIC_USEC="));
    hear("READY=1");
    hear("WATCHDOG=1");
    // A refused configuration ends the reload too: systemd would wait for it for ever.
    write_config(server.directory.path(), server.port, &server.diag, ", clustername: x");
    server.send("HUP");
    hear("RELOADING=1");
    hear("STATUS=goes on with the old configuration");
    hear("READY=1");
    server.send("TERM");
    hear("STOPPING=1");
}

#[test]
fn a_server_has_as_many_files_open_as_the_administrator_allows() {
    let directory = tempfile::tempdir().unwrap();
    let [port, diag] = free_ports();
    let diag = format!("127.0.0.1:{diag}");
    write_config(directory.path(), port, &diag, "");
    let child = Command::new("sh")
        .args(["-c", "ulimit -Sn 256 && ulimit -Hn 2000 && exec \"$0\" start -c \"$1\""])
        .arg(env!("CARGO_BIN_EXE_tessera"))
        .arg(directory.path().join("tessera.yaml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    let server = Running { child, port, directory, diag };
    wait_until("the start", || is_ready(&server.diag));
    let limits = std::fs::read_to_string(limits).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["2000", "2000"], "{files}");
    assert_eq!(lines(server.directory.path(), "few files may be open at once"), 1);
}
