//! One proxy with ten thousand agents, and with ten thousand idle clients. The agents are of this process: links as our own
//! agents hold them, with a small HTTP server behind each.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use api::{
    convert::Wire,
    r#gen::{
        proto::UpsertApplicationServerRequest, teleport::trust::v1::GetCertAuthoritiesRequest,
        types::RegisterUsingTokenRequest,
    },
    methods::{
        proto::{auth_service::UpsertApplicationServer, join_service::RegisterUsingToken},
        teleport::trust::v1::trust_service::GetCertAuthorities,
    },
};
use async_trait::async_trait;
use clock::{Clock, Timestamp};
use crypto::{
    Algorithm, KeyPair, Random,
    tls::{CertificateChain, ClientOptions, Exported, Trust, TrustedClients, client_config},
    x509::Certificate,
};
use domain::{
    Resource as _,
    ca::CaType,
    resources::{
        App,
        app::AppSpec,
        app_server::{AppServer, AppServerSpec},
    },
    role::SystemRole,
};
use hyper::{Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, task::JoinSet};
use tokio_rustls::{TlsConnector, rustls};
use tokio_util::sync::CancellationToken;
use tunnel::{
    Open, Stream, Transport,
    agent::{Agent, Dial, Entry},
    link::Serve,
};

use crate::{
    Binaries,
    cluster::{Cluster, Machine},
    proxy::{Target, front, host_of, led_to, write_certificates},
    report::{Report, Times, against, figure, milliseconds, say},
    server::Site,
};

/// Agents, with one application each; and idle clients.
const COUNT: usize = 10_000;

/// Joins and dials at a time; a connection without a certificate has 16 calls.
const AT_A_TIME: usize = 12;

/// Applications that are asked for.
const ASKED: usize = 200;

/// Until memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// How long the agents may take to come.
const COME: Duration = Duration::from_secs(180);

const GOAL_AGENTS: f64 = 800.0;
const GOAL_CLIENTS: f64 = 500.0;
const GOAL_REQUEST: f64 = 5.0;
const GOAL_BACK: f64 = 10.0;

/// What our own agents say to the proxy's port, and whom they expect.
const ALPN: &[u8] = b"tessera-tunnel";
const PROXY_NAME: &str = "proxy.teleport.cluster.local";

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Arc::new(Cluster::of(site.start()?).await?);
    write_certificates(binaries, &site)?;
    let proxy = front(&site, &cluster, None).await?;
    let address: SocketAddr = proxy.address().parse()?;
    let before = proxy.resident()?;
    let machine = cluster.machines(1).await?.pop().context("no machine")?;
    let agents = Agents::join(&cluster, Trusted::of(&cluster, &machine).await?, address).await?;
    say("  agents have joined");
    let connected = agents.start(address);
    let first = all_connected(&connected).await?;
    say("  agents are connected");
    tokio::time::sleep(SETTLE).await;
    let with_agents = proxy.resident()?;

    let (new, kept) = ask(&cluster, &machine, address).await?;

    say("  the proxy restarts");
    proxy.stop()?;
    let (began, port) = (Instant::now(), address.port());
    let proxy = front(&site, &cluster, Some(port)).await?;
    let ready = began.elapsed();
    let back = ready + all_connected(&connected).await?;
    let spent = proxy.cpu()?;
    let after = ask(&cluster, &machine, address).await?.1;

    // A new process: what the agents left in this one's memory would be taken for the clients'.
    agents.but_one.cancel();
    proxy.stop()?;
    let proxy = front(&site, &cluster, Some(port)).await?;
    let first_agent = connected.get(..1).context("no agent")?;
    connected_again(first_agent).await?;
    let without_clients = proxy.resident()?;
    let clients = idle_clients(&cluster, &machine, address).await?;
    tokio::time::sleep(SETTLE).await;
    let with_clients = proxy.resident()?;
    drop(clients);
    proxy.stop()?;
    drop(agents);

    stop(cluster)?;
    Ok(report(Seen { before, with_agents, first, new, kept, ready, back, spent, after, without_clients, with_clients }))
}

/// What was measured: memory in bytes, and times.
struct Seen {
    before: u64,
    with_agents: u64,
    first: Duration,
    new: Times,
    kept: Times,
    ready: Duration,
    back: Duration,
    spent: Duration,
    after: Times,
    without_clients: u64,
    with_clients: u64,
}

fn report(seen: Seen) -> Report {
    let Seen { before, with_agents, first, mut new, mut kept, .. } = seen;
    let Seen { ready, back, spent, mut after, without_clients, with_clients, .. } = seen;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let row = |what: String, figures: Vec<String>| [vec![what], figures].concat();
    let p99 = kept.quantile(0.99).as_secs_f64() * 1_000.0;
    let mut report = Report::default();
    report.table(
        &["compared with", "measured", "goal", "ratio"],
        &[
            row(format!("the proxy's memory with {COUNT} agents"), against(mib(with_agents), GOAL_AGENTS, " MiB")),
            row("a request to any of them, p99".into(), against(p99, GOAL_REQUEST, " ms")),
            row("all are back after a restart".into(), against(back.as_secs_f64(), GOAL_BACK, " s")),
            row(
                format!("memory for {COUNT} idle clients"),
                against(mib(with_clients.saturating_sub(without_clients)), GOAL_CLIENTS, " MiB"),
            ),
        ],
    );
    report.remark(&format!(
        "Resident: {} MiB alone, {} with the agents, {} with the clients. The agents came within {} s. {ASKED} applications: \
         the first request, with a handshake and a proof to the agent, p50 {}, p99 {}; the next on the same connection p50 {}, p99 {}; \
         after the restart p99 {}. The new proxy was ready after {}, and had spent {} s of CPU when all were back; the agents \
         are one thread on the same machine.",
        figure(mib(before)),
        figure(mib(with_agents)),
        figure(mib(with_clients)),
        figure(first.as_secs_f64()),
        milliseconds(new.median()),
        milliseconds(new.quantile(0.99)),
        milliseconds(kept.median()),
        milliseconds(kept.quantile(0.99)),
        milliseconds(after.quantile(0.99)),
        milliseconds(ready),
        figure(spent.as_secs_f64()),
    ));
    report
}

fn stop(cluster: Arc<Cluster>) -> anyhow::Result<()> {
    Arc::into_inner(cluster).context("somebody still uses the cluster")?.server.stop()
}

/// Whom agents trust.
struct Trusted {
    hosts: Vec<Certificate>,
    users: Arc<TrustedClients>,
}

impl Trusted {
    async fn of(cluster: &Cluster, machine: &Machine) -> anyhow::Result<Self> {
        let client = cluster.connect(&machine.credentials).await?;
        let request = GetCertAuthoritiesRequest { r#type: CaType::User.as_str().to_owned(), include_key: false };
        let mut users = Vec::new();
        for authority in client.call::<GetCertAuthorities>(request).await?.cert_authorities_v2 {
            for pair in authority.spec.and_then(|spec| spec.active_keys).into_iter().flat_map(|keys| keys.tls) {
                users.extend(Certificate::many_from_pem(&String::from_utf8(pair.cert)?)?);
            }
        }
        Ok(Self { hosts: cluster.authorities().to_vec(), users: TrustedClients::new(&users)? })
    }
}

/// The agents, and what ends them.
struct Agents {
    /// By number.
    chains: BTreeMap<usize, (Certificate, KeyPair)>,
    trusted: Trusted,
    end: CancellationToken,
    /// Ends all but the first.
    but_one: CancellationToken,
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Agents {
    /// Joins the hosts and announces their applications.
    async fn join(cluster: &Arc<Cluster>, trusted: Trusted, proxy: SocketAddr) -> anyhow::Result<Self> {
        let token = cluster.make_host_token([SystemRole::App]).await?;
        // One key for all: that they have different certificates is what matters here.
        let key = KeyPair::generate(Algorithm::EcdsaP256)?;
        let (stranger, mut running, mut chains) = (cluster.stranger().await?, JoinSet::new(), BTreeMap::new());
        for number in 0..COUNT {
            if running.len() >= AT_A_TIME
                && let Some(done) = running.join_next().await
            {
                let (number, chain) = done??;
                chains.insert(number, chain);
            }
            let (cluster, stranger, key, token) = (Arc::clone(cluster), stranger.clone(), key.clone(), token.clone());
            running.spawn(async move { join(&cluster, &stranger, number, &token, key, proxy).await });
        }
        while let Some(done) = running.join_next().await {
            let (number, chain) = done??;
            chains.insert(number, chain);
        }
        let end = CancellationToken::new();
        Ok(Self { chains, trusted, but_one: end.child_token(), end })
    }

    /// Lets all dial; each says to how many proxies it has a link.
    fn start(&self, proxy: SocketAddr) -> Vec<watch::Receiver<Vec<String>>> {
        let dialled = Entry::fixed(vec![proxy.to_string()]);
        let each = |(number, (certificate, key)): (&usize, &(Certificate, KeyPair))| {
            let (said, entry) = watch::channel(dialled.clone());
            let (connected, is_connected) = watch::channel(Vec::new());
            let here = Here::new(certificate, key, &self.trusted)?;
            let agent = Agent {
                entry,
                dial: Arc::clone(&here) as _,
                serve: here,
                connected,
                clock: Clock::system(),
                random: Random::system(),
            };
            let end = if *number == 0 { self.end.clone() } else { self.but_one.clone() };
            tokio::spawn(async move {
                agent.run(end).await;
                drop(said);
            });
            anyhow::Ok(is_connected)
        };
        self.chains.iter().filter_map(|chain| each(chain).ok()).collect()
    }
}

async fn join(
    cluster: &Cluster,
    stranger: &client::Client,
    number: usize,
    token: &str,
    key: KeyPair,
    proxy: SocketAddr,
) -> anyhow::Result<(usize, (Certificate, KeyPair))> {
    let host_id = Random::system().uuid().to_string();
    let request = RegisterUsingTokenRequest {
        host_id: host_id.clone(),
        node_name: format!("agent-{number}"),
        role: SystemRole::App.as_str().to_owned(),
        token: token.to_owned(),
        public_tls_key: key.public().to_pem().into_bytes(),
        public_ssh_key: key.public().to_authorized_key().into_bytes(),
        ..RegisterUsingTokenRequest::default()
    };
    let certs = stranger.call::<RegisterUsingToken>(request).await?;
    let certificate = Certificate::from_pem(std::str::from_utf8(&certs.tls)?)?;
    let name = app(number);
    let mut served = App::new(name.clone(), AppSpec { uri: format!("http://{proxy}"), ..AppSpec::default() });
    served.set_defaults();
    let spec = AppServerSpec { hostname: name.clone(), host_id, app: Some(served), ..AppServerSpec::default() };
    let mut server = AppServer::new(name, spec);
    server.metadata.expires = Some(Timestamp::now().checked_add(Duration::from_secs(3600))?);
    server.set_defaults();
    let request = UpsertApplicationServerRequest { server: Some(server.to_wire()) };
    cluster.admin.call::<UpsertApplicationServer>(request).await?;
    Ok((number, (certificate, key)))
}

/// The application of an agent.
fn app(number: usize) -> String {
    format!("app-{number}")
}

/// An agent: dials with its certificate, and answers each request.
struct Here {
    client: Arc<rustls::ClientConfig>,
    users: Arc<TrustedClients>,
}

impl Here {
    fn new(certificate: &Certificate, key: &KeyPair, trusted: &Trusted) -> anyhow::Result<Arc<Self>> {
        let (chain, clock) = (CertificateChain::new(std::slice::from_ref(certificate), key)?, Clock::system());
        let options = ClientOptions {
            trust: Trust::Roots(trusted.hosts.clone()),
            certificate: Some(chain),
            alpn: vec![ALPN.to_vec()],
        };
        Ok(Arc::new(Self { client: client_config(options, &clock)?, users: Arc::clone(&trusted.users) }))
    }
}

#[async_trait]
impl Dial for Here {
    async fn dial(&self, address: &str) -> io::Result<Transport> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = rustls::pki_types::ServerName::try_from(PROXY_NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.client)).connect(name, stream).await?;
        Ok(Transport { exported: Exported::of(stream.get_ref().1), io: Box::new(stream) })
    }
}

#[async_trait]
impl Serve for Here {
    async fn admit(&self, _: &Open) -> Result<(), String> {
        Ok(())
    }

    async fn serve(&self, _: Open, mut stream: Stream) {
        let answer = service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from_static(&[b'x'; 1024]))))
        });
        if stream.proved(&self.users, &Clock::system()).await.is_ok() {
            // The proxy sees how it ends.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        }
    }
}

/// Waits until every agent has a link.
async fn all_connected(agents: &[watch::Receiver<Vec<String>>]) -> anyhow::Result<Duration> {
    ensure!(agents.len() == COUNT, "{} agents", agents.len());
    connected_again(agents).await
}

async fn connected_again(agents: &[watch::Receiver<Vec<String>>]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    loop {
        let missing = agents.iter().filter(|agent| agent.borrow().is_empty()).count();
        if missing == 0 {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < COME, "{missing} agents are not connected after {COME:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One client that asks for several applications, one after the other: the first requests, and the next on the same
/// connections.
async fn ask(cluster: &Cluster, machine: &Machine, proxy: SocketAddr) -> anyhow::Result<(Times, Times)> {
    let (mut new, mut kept) = (Times::default(), Times::default());
    for turn in 0..ASKED {
        let app = app(turn * (COUNT / ASKED));
        let target = target(cluster, machine, &app, proxy).await?;
        let began = Instant::now();
        let mut sender = target.connect().await?;
        target.get(&mut sender, "/").await.with_context(|| app.clone())?;
        new.push(began.elapsed());
        let began = Instant::now();
        target.get(&mut sender, "/").await?;
        kept.push(began.elapsed());
    }
    Ok((new, kept))
}

async fn target(cluster: &Cluster, machine: &Machine, app: &str, proxy: SocketAddr) -> anyhow::Result<Target> {
    let led = led_to(cluster, machine, app).await?;
    let alpn = vec![b"http/1.1".to_vec()];
    let options = ClientOptions { trust: Trust::DangerAnyServer, certificate: led.chain(), alpn };
    Ok(Target { address: proxy, host: host_of(app), tls: Some(client_config(options, &Clock::system())?) })
}

/// Clients that have asked once and are silent.
async fn idle_clients(
    cluster: &Cluster,
    machine: &Machine,
    proxy: SocketAddr,
) -> anyhow::Result<BTreeMap<usize, crate::proxy::Sender>> {
    let target = target(cluster, machine, &app(0), proxy).await?;
    let (mut running, mut open) = (JoinSet::new(), BTreeMap::new());
    for number in 0..COUNT {
        if running.len() >= AT_A_TIME
            && let Some(done) = running.join_next().await
        {
            let (number, sender) = done.map_err(anyhow::Error::from).and_then(|one: anyhow::Result<_>| one)?;
            open.insert(number, sender);
        }
        let target = target.clone();
        running.spawn(async move {
            let mut sender = target.connect().await?;
            target.get(&mut sender, "/").await?;
            Ok((number, sender))
        });
    }
    while let Some(done) = running.join_next().await {
        let (number, sender) = done??;
        open.insert(number, sender);
    }
    Ok(open)
}
