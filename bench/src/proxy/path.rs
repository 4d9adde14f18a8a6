//! Our path to the application: a proxy and an agent in processes of their own, and a bot's certificate that leads to it.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use api::r#gen::proto::RouteToApp;
use client::Credentials;
use domain::role::SystemRole;

use crate::{
    Binaries,
    cluster::{Cluster, Machine},
    server::{CLUSTER, Server, Site, free_address},
};

/// Where the proxy is reached, and so where applications are.
const PUBLIC_NAME: &str = "proxy.bench.example";

/// How long an agent may take to announce its application after it is ready.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// The application.
pub(super) const APP: &str = "bench";

/// An application's host name.
pub(crate) fn host_of(app: &str) -> String {
    format!("{app}.{PUBLIC_NAME}")
}

/// Makes the certificate that all proxies show, and writes the authority of the clients' certificates beside it.
pub(crate) fn write_certificates(binaries: &Binaries, site: &Site) -> anyhow::Result<()> {
    let directory = site.path();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={PUBLIC_NAME}")])
        .args(["-addext", &format!("subjectAltName=DNS:{PUBLIC_NAME},DNS:*.{PUBLIC_NAME}")])
        .arg("-keyout")
        .arg(directory.join("web.key"))
        .arg("-out")
        .arg(directory.join("web.crt"))
        .output()
        .context("openssl cannot be run; try: apt-get install openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let users = Command::new(binaries.directory.join("tctl"))
        .arg("-c")
        .arg(directory.join("tessera.yaml"))
        .args(["auth", "export", "--type=tls-user"])
        .output()?;
    ensure!(users.status.success(), "tctl auth export: {}", String::from_utf8_lossy(&users.stderr));
    fs::write(directory.join("users.crt"), users.stdout)?;
    Ok(())
}

/// The processes of the path.
pub(super) struct OurPath {
    pub(super) proxy: Server,
    pub(super) agent: Server,
    pub(super) address: SocketAddr,
}

/// Starts a proxy in a process of its own; again on the same port, where one is given.
pub(crate) async fn front(site: &Site, cluster: &Cluster, port: Option<u16>) -> anyhow::Result<Server> {
    let address = port.map_or_else(free_address, |port| Ok(format!("127.0.0.1:{port}")))?;
    let (_, port) = address.rsplit_once(':').context("no port")?;
    let (auth, directory) = (cluster.server.address(), site.path().display());
    let joins = joins(cluster, SystemRole::Proxy).await?;
    let sections = format!(
        "  auth_server: {auth}\n{joins}auth_service: {{enabled: no}}\nssh_service: {{enabled: no}}\nproxy_service:\n  \
         enabled: yes\n  web_listen_addr: {address}\n  public_addr: {PUBLIC_NAME}:{port}\n  peer_public_addr: {address}\n  \
         https_keypairs: [{{cert_file: {directory}/web.crt, key_file: {directory}/web.key}}]\n"
    );
    site.start_services("proxy", &address, &sections)
}

async fn joins(cluster: &Cluster, role: SystemRole) -> anyhow::Result<String> {
    let token = cluster.make_host_token([role]).await?;
    let pin = cluster.pin().context("the cluster has no authority")?;
    Ok(format!("  join_params: {{method: token, token_name: {token}}}\n  ca_pin: \"{pin}\"\n"))
}

impl OurPath {
    pub(super) async fn start(site: &Site, cluster: &Cluster, application: SocketAddr) -> anyhow::Result<Self> {
        let proxy = front(site, cluster, None).await?;
        let (address, joins) = (proxy.address().to_owned(), joins(cluster, SystemRole::App).await?);
        let sections = format!(
            "  proxy_server: {address}\n{joins}auth_service: {{enabled: no}}\nproxy_service: {{enabled: no}}\n\
             ssh_service: {{enabled: no}}\napp_service:\n  enabled: yes\n  \
             apps:\n  - {{name: {APP}, uri: \"http://{application}\"}}\n"
        );
        let agent = site.start_services("agent", &address, &sections)?;
        Ok(Self { proxy, agent, address: address.parse()? })
    }

    /// Both processes, which together do what one reverse proxy does.
    pub(super) fn pids(&self) -> Vec<u32> {
        vec![self.proxy.pid(), self.agent.pid()]
    }

    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.agent.stop()?;
        self.proxy.stop()
    }
}

/// A certificate that leads to an application, once its agent has announced it.
pub(crate) async fn led_to(cluster: &Cluster, machine: &Machine, app: &str) -> anyhow::Result<Credentials> {
    let (name, public_addr, cluster_name) = (app.to_owned(), host_of(app), CLUSTER.to_owned());
    let route = RouteToApp { name, public_addr, cluster_name, ..RouteToApp::default() };
    let until = Instant::now() + ANNOUNCED;
    loop {
        match cluster.led_to(machine, route.clone()).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            answer => return answer,
        }
    }
}
