//! The application, and the reverse proxies that we are compared with: Debian's nginx and HAProxy.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::server::free_address;

/// A small answer.
pub(super) const SMALL: &str = "/small";

/// A large answer.
pub(super) const LARGE: &str = "/large";

/// Bytes of them.
const SMALL_SIZE: usize = 1024;
pub(super) const LARGE_SIZE: u64 = 64 << 20;

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(10);

/// A program that listens on loopback, ended with us.
pub(super) struct Peer {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Peer {
    /// Processes whose time counts: itself and its workers.
    pub(super) fn pids(&self) -> Vec<u32> {
        vec![self.child.id()]
    }

    /// nginx that answers with two files of `directory`.
    pub(super) fn application(directory: &Path) -> anyhow::Result<Self> {
        fs::write(directory.join("small"), [b'x'; SMALL_SIZE])?;
        fs::File::create(directory.join("large"))?.set_len(LARGE_SIZE)?;
        let address = free_address()?;
        let server = format!("server {{ listen {address}; root {}; }}", directory.display());
        Self::nginx(directory, "application", &address, &server)
    }

    /// nginx that asks for client certificates and forwards to the application.
    pub(super) fn nginx_proxy(directory: &Path, application: SocketAddr) -> anyhow::Result<Self> {
        let address = free_address()?;
        let path = directory.display();
        let server = format!(
            "upstream application {{ server {application}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{ listen {address} ssl; ssl_certificate {path}/web.crt; ssl_certificate_key {path}/web.key; \
             ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off; \
             ssl_client_certificate {path}/users.crt; ssl_verify_client on; \
             location / {{ proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
             proxy_set_header Host $host; proxy_max_temp_file_size 0; }} }}"
        );
        Self::nginx(directory, "nginx", &address, &server)
    }

    fn nginx(directory: &Path, name: &str, address: &str, server: &str) -> anyhow::Result<Self> {
        let config = directory.join(format!("{name}.conf"));
        let path = directory.display();
        let text = format!(
            "worker_processes 2; daemon off; pid {path}/{name}.pid; error_log {path}/{name}.log warn;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; \
             client_body_temp_path {path}/{name}-body; proxy_temp_path {path}/{name}-proxy; \
             fastcgi_temp_path {path}/{name}-f; uwsgi_temp_path {path}/{name}-u; scgi_temp_path {path}/{name}-s;\n{server}\n}}\n"
        );
        let text = if rustix::process::geteuid().is_root() { format!("user root;\n{text}") } else { text };
        fs::write(&config, text)?;
        let mut command = Command::new(program("nginx")?);
        command.arg("-c").arg(&config).arg("-e").arg(directory.join(format!("{name}.log")));
        Self::start(command, address)
    }

    /// HAProxy that does the same as [`Self::nginx_proxy`].
    pub(super) fn haproxy(directory: &Path, application: SocketAddr) -> anyhow::Result<Self> {
        let address = free_address()?;
        let path = directory.display();
        let pair = [fs::read(directory.join("web.crt"))?, fs::read(directory.join("web.key"))?].concat();
        fs::write(directory.join("web.pem"), pair)?;
        let config = directory.join("haproxy.cfg");
        let text = format!(
            "global\n  nbthread 2\n  tune.ssl.cachesize 0\n  ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets\n\
             defaults\n  mode http\n  http-reuse always\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend public\n  bind {address} ssl crt {path}/web.pem ca-file {path}/users.crt verify required\n  \
             default_backend application\nbackend application\n  server one {application}\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new(program("haproxy")?);
        command.arg("-db").arg("-q").arg("-f").arg(&config);
        Self::start(command, &address)
    }

    fn start(mut command: Command, address: &str) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut peer = Self { child, address: address.parse()? };
        let until = Instant::now() + START;
        while std::net::TcpStream::connect(peer.address).is_err() {
            ensure!(Instant::now() < until && peer.child.try_wait()?.is_none(), "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // SIGTERM: nginx ends its workers; they would outlive a master that is killed.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A program of the system, which ordinary users may not have on their path.
fn program(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").context("PATH is not set")?;
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    match directories.map(|directory| directory.join(name)).find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!("{name} is missing, and it is what we are compared with; try: apt-get install {name}"),
    }
}
