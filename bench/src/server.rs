//! A `tessera` process with its data on disk, ended by its own process id.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Binaries, process, report::say};

/// How long a start may take before it counts as failed.
const START: Duration = Duration::from_secs(60);

/// How long a stop may take before the process is killed.
const STOP: Duration = Duration::from_secs(15);

/// The cluster's name.
pub(crate) const CLUSTER: &str = "bench.example";

/// A directory for a server, kept while the server starts and stops.
#[derive(Debug)]
pub(crate) struct Site {
    directory: tempfile::TempDir,
    binaries: Binaries,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: String,
    data: PathBuf,
    /// From `exec` to `READY=1`.
    pub(crate) took: Duration,
}

impl Site {
    /// A new, empty place on the disk that holds the binaries, because `/tmp` may be memory.
    pub(crate) fn new(binaries: &Binaries) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tb-").tempdir_in(&binaries.directory)?;
        Ok(Self { directory, binaries: binaries.clone() })
    }

    /// Where everything of this site lies.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of its server.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Starts the server and waits until it says that it is ready.
    pub(crate) fn start(&self) -> anyhow::Result<Server> {
        let address = free_address()?;
        let services = format!(
            "auth_service:\n  enabled: yes\n  cluster_name: {CLUSTER}\n  listen_addr: {address}\n\
             proxy_service: {{enabled: no}}\nssh_service: {{enabled: no}}\n",
        );
        self.start_services("bench", &address, &services)
    }

    /// Starts a process with these sections of the configuration, in a directory named like its node, and waits until it
    /// says that it is ready.
    pub(crate) fn start_services(&self, node: &str, address: &str, sections: &str) -> anyhow::Result<Server> {
        let directory = if node == "bench" { self.path().to_owned() } else { self.path().join(node) };
        fs::create_dir_all(&directory)?;
        let data = directory.join("data");
        let config = directory.join("tessera.yaml");
        let text = format!(
            "version: v3\nteleport:\n  nodename: {node}\n  data_dir: {data}\n  log: {{output: {log}, severity: INFO}}\n{sections}",
            data = data.display(),
            log = directory.join("log").display(),
        );
        fs::write(&config, text)?;
        let socket = directory.join("ready");
        let _ = fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket)?;
        ready.set_read_timeout(Some(START))?;
        let output = || fs::File::options().create(true).append(true).open(directory.join("output"));
        let began = Instant::now();
        let child = Command::new(self.binaries.directory.join("tessera"))
            .args(["start", "-c"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?)
            .spawn()
            .context("tessera cannot be started")?;
        let mut server = Server { child, address: address.to_owned(), data, took: Duration::ZERO };
        let mut buffer = [0_u8; 256];
        loop {
            let length = ready.recv(&mut buffer).with_context(|| {
                server.stop_at_once();
                let tail = |name| fs::read_to_string(directory.join(name)).unwrap_or_default();
                format!("tessera did not become ready:\n{}{}", tail("output"), tail("log"))
            })?;
            if buffer.get(..length).is_some_and(|text| text.starts_with(b"READY=1")) {
                server.took = began.elapsed();
                return Ok(server);
            }
        }
    }
}

impl Server {
    /// Where the API listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The administrator's socket, as clients write it.
    pub(crate) fn admin_socket(&self) -> String {
        format!("unix://{}", self.data.join("admin.sock").display())
    }

    /// CPU time spent so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.child.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        process::resident(self.child.id())
    }

    /// Its process id, for a profiler.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let until = Instant::now() + STOP;
        while Instant::now() < until {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let log = self.data.with_file_name("log");
        say(&fs::read_to_string(log).unwrap_or_default().lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        self.stop_at_once();
        bail!("tessera did not end within {STOP:?} after SIGTERM and was killed")
    }

    fn stop_at_once(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_at_once();
    }
}

/// An address on loopback that nobody listens on at this moment.
pub(crate) fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
