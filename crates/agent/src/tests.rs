//! An agent against a proxy of two functions: TLS as a proxy does it, and a switchboard.

mod keep;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use client::{Proxies, Trust};
use clock::Clock;
use crypto::{
    Algorithm, KeyPair, Random,
    tls::{self, CertificateChain, ClientAuth, Exported, ServerCertificate, TrustedClients},
};
use domain::{Error, ca::CaType, resources::cert_authority::CertAuthority, role::SystemRole, suite::Suite};
use keystore::{SealingKey, SoftwareKeyStore};
use service::{Readiness, Stop};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel::{Open, Stream, Switchboard, Transport, agent::Dial as _, link::Serve};

use crate::{Certificates, Config, Host, Identity, Service, dial::Dialler, run};

const CLUSTER: &str = "example.test";
const HOST: &str = "11111111-2222-3333-4444-555555555555";
const LIFE: Duration = Duration::from_secs(3600);

struct Authority {
    store: SoftwareKeyStore,
    host: CertAuthority,
    clock: Clock,
}

impl Authority {
    async fn new() -> Self {
        let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], Random::system()).unwrap();
        let (clock, random) = (Clock::system(), Random::system());
        let host = ca::authority::new_authority(CaType::Host, CLUSTER, Suite::BalancedV1, &store, &clock, &random);
        Self { host: host.await.unwrap(), store, clock }
    }

    /// The certificates of a host, as auth issues them.
    async fn issue(&self, key: &KeyPair, username: &str, role: &str, name: &str) -> Certificates {
        let identity = domain::identity::Identity {
            username: username.into(),
            roles: vec![role.into()],
            teleport_cluster: CLUSTER.into(),
            ..domain::identity::Identity::default()
        };
        let names = ca::x509::AlternativeNames { dns: vec![name.into()], ..ca::x509::AlternativeNames::default() };
        let now = self.clock.now();
        let template = ca::x509::host_template(&identity, key.public().clone(), names, now, now + LIFE);
        let signer = ca::authority::tls_signer(&self.host).unwrap();
        let tls = ca::x509::issue(&template, &signer, &self.store, &Random::system()).await.unwrap();
        let authorities = ca::authority::trusted_certificates(&self.host).unwrap();
        let tls_authorities = authorities.iter().map(|authority| authority.to_pem()).collect();
        Certificates { tls: tls.to_pem(), ssh: String::new(), tls_authorities, ssh_authorities: Vec::new() }
    }

    async fn identity(&self, role: &str, name: &str) -> Identity {
        let key = key();
        let certificates = self.issue(&key, &format!("{HOST}.{CLUSTER}"), role, name).await;
        Identity::new(key, certificates).unwrap()
    }

    async fn host(&self, entry: &str, data_dir: Option<&Path>) -> Host {
        let identity = self.identity("App", "app.teleport.cluster.local").await;
        Host::with_identity(config(entry, data_dir), identity).unwrap()
    }
}

fn key() -> KeyPair {
    KeyPair::generate(Algorithm::EcdsaP256).unwrap()
}

fn config(entry: &str, data_dir: Option<&Path>) -> Config {
    Config {
        auth_servers: vec!["127.0.0.1:1".into()],
        entry: vec![entry.into()],
        trust: Trust::Credentials,
        issuer: None,
        token: None,
        node_name: "node".into(),
        role: SystemRole::App,
        data_dir: data_dir.map(Path::to_owned),
        additional_principals: Vec::new(),
        dns_names: Vec::new(),
        out: Proxies::default(),
        clock: Clock::system(),
        random: Random::system(),
    }
}

/// A listener that is a proxy for those who dial it, under this name.
struct Proxy {
    address: String,
    switchboard: Switchboard,
    /// The certificates that those who attached have shown.
    shown: Arc<Mutex<Vec<Vec<u8>>>>,
    /// A proxy that learns of no peers any more is about to stop.
    _peers: watch::Sender<Vec<tunnel::Peer>>,
    _tasks: JoinSet<()>,
}

async fn proxy(authority: &Authority, name: &str, alpn: &'static [u8]) -> Proxy {
    let identity = authority.identity("Proxy", name).await;
    let chain = CertificateChain::new(std::slice::from_ref(identity.tls()), identity.key()).unwrap();
    let trusted = TrustedClients::new(identity.authorities()).unwrap();
    let clock = Clock::system();
    let auth = ClientAuth::Optional(trusted);
    let config = tls::server_config(ServerCertificate::new(chain), auth, &[alpn], &clock).unwrap();
    let (peers_known, peers) = watch::channel(Vec::new());
    let switchboard = Switchboard::new("proxy-1".into(), "life-1".into(), peers, clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (mut tasks, board) = (JoinSet::new(), switchboard.clone());
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    tasks.spawn(async move {
        let (acceptor, mut links) = (TlsAcceptor::from(config), JoinSet::new());
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let certificates = stream.get_ref().1.peer_certificates().expect("the agent shows who it is");
            seen.lock().unwrap().push(certificates[0].to_vec());
            let board = board.clone();
            let transport = Transport { exported: Exported::of(stream.get_ref().1), io: Box::new(stream) };
            links.spawn(async move { drop(board.attach(HOST, transport, CancellationToken::new()).await) });
        }
    });
    Proxy { address, switchboard, shown, _peers: peers_known, _tasks: tasks }
}

/// A service that answers with what it reads, and writes down what it was told to announce.
struct Echo {
    announced: Mutex<Vec<Vec<String>>>,
    withdrawn: watch::Sender<u64>,
    changed: watch::Sender<u64>,
    /// How often what it does beside serving has ended.
    ended: watch::Sender<u64>,
    prepared: watch::Sender<bool>,
    /// Panics once, and is well afterwards.
    is_ill: AtomicBool,
    /// How long an announcement takes.
    takes: Mutex<Duration>,
    /// How many announcements came to their end.
    carried_out: AtomicUsize,
}

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            announced: Mutex::default(),
            withdrawn: watch::Sender::new(0),
            changed: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            prepared: watch::Sender::new(true),
            is_ill: AtomicBool::new(false),
            takes: Mutex::default(),
            carried_out: AtomicUsize::new(0),
        })
    }

    fn fall_ill(&self) {
        assert!(!self.is_ill.swap(false, Ordering::Relaxed), "on purpose");
    }
}

#[async_trait]
impl Serve for Echo {
    async fn admit(&self, _: &Open) -> Result<(), String> {
        Ok(())
    }

    async fn serve(&self, _: Open, mut stream: Stream) {
        let mut buffer = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            drop(stream.write_all(&buffer[..read]).await);
        }
        drop(stream.shutdown().await);
    }
}

#[async_trait]
impl Service for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn announce(&self, proxies: &[String]) -> Result<(), Error> {
        self.fall_ill();
        self.announced.lock().unwrap().push(proxies.to_vec());
        let takes = *self.takes.lock().unwrap();
        Clock::system().sleep(takes).await;
        self.carried_out.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn withdraw(&self) {
        self.withdrawn.send_modify(|count| *count += 1);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn prepared(&self) {
        self.prepared.subscribe().wait_for(|is_prepared| *is_prepared).await.unwrap();
    }

    async fn run(&self, _: Stop, over: Stop) {
        over.requested().await;
        self.ended.send_modify(|count| *count += 1);
    }
}

async fn until(mut look: impl FnMut() -> bool) {
    for _ in 0..500 {
        if look() {
            return;
        }
        Clock::system().sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen in 10 s");
}

/// An agent that runs, and what it meets.
struct Running {
    authority: Authority,
    proxy: Proxy,
    host: Host,
    echo: Arc<Echo>,
    readiness: Readiness,
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Running {
    /// Starts one that serves `echo`, once `prepare` has had its way with that.
    async fn start(prepare: impl FnOnce(&Echo)) -> Self {
        let authority = Authority::new().await;
        let proxy = proxy(&authority, "proxy.teleport.cluster.local", b"tessera-tunnel").await;
        let host = authority.host(&proxy.address, None).await;
        let (echo, readiness, stop, mut tasks) = (Echo::new(), Readiness::new(), Stop::new(), JoinSet::new());
        prepare(&echo);
        let component = readiness.register("agent");
        let (of_agent, services, stopping) = (host.clone(), vec![Arc::clone(&echo) as Arc<dyn Service>], stop.clone());
        tasks.spawn(async move { run(of_agent, services, component, stopping).await.unwrap() });
        Self { authority, proxy, host, echo, readiness, stop, tasks }
    }

    async fn echo(&self) -> Stream {
        self.open(None).await
    }

    async fn open(&self, protocol: Option<&str>) -> Stream {
        let open = Open { protocol: protocol.map(str::to_owned), ..Open::service("echo") };
        self.proxy.switchboard.open(HOST, &open).await.unwrap()
    }

    fn announced(&self) -> usize {
        self.echo.announced.lock().unwrap().len()
    }

    fn withdrawn(&self) -> bool {
        *self.echo.withdrawn.borrow() == 1
    }

    /// What the agent says it waits for.
    fn state(&self) -> String {
        format!("{:?}", self.readiness.component("agent"))
    }

    async fn ended(&mut self) {
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

/// Says something to a stream's other end, and hears it again.
async fn hears_itself(stream: &mut Stream) {
    let mut answer = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
}

#[tokio::test]
async fn an_agent_links_announces_serves_and_takes_its_word_back() {
    let mut agent = Running::start(|_| {}).await;
    agent.readiness.ready().await;
    until(|| agent.echo.announced.lock().unwrap().last().is_some_and(|proxies| proxies == &["proxy-1"])).await;
    let identity = agent.host.identity();
    let own = CertificateChain::new(std::slice::from_ref(identity.tls()), identity.key()).unwrap();
    assert!(agent.open(Some("h2")).await.proof(&own).is_some(), "a session can be proved within the link");
    assert!(agent.open(None).await.proof(&own).is_none());
    let before = agent.announced();
    agent.echo.changed.send_modify(|count| *count += 1);
    until(|| agent.announced() > before).await;

    let mut stream = agent.echo().await;
    hears_itself(&mut stream).await;
    stream.shutdown().await.unwrap();
    drop(stream);
    let refused = agent.proxy.switchboard.open(HOST, &Open::service("ssh")).await;
    let refused = refused.expect_err("there is no such service");
    assert!(refused.to_string().contains("ssh"), "{refused}");

    agent.stop.soft();
    until(|| agent.withdrawn()).await;
    agent.ended().await;
}

#[tokio::test]
async fn what_changes_all_the_time_is_announced_now_and_then_and_holds_up_no_stop() {
    let mut agent = Running::start(|_| {}).await;
    until(|| agent.announced() > 0).await;
    let before = agent.announced();
    for _ in 0..75 {
        agent.echo.changed.send_modify(|count| *count += 1);
        Clock::system().sleep(Duration::from_millis(20)).await;
    }
    assert!(agent.announced() - before <= 3, "{}", agent.announced() - before);
    let before = agent.announced();
    *agent.echo.takes.lock().unwrap() = Duration::from_secs(600);
    until(|| agent.announced() > before).await;
    agent.stop.soft();
    until(|| agent.withdrawn()).await;
    agent.ended().await;
}

#[tokio::test]
async fn what_is_being_announced_at_a_stop_is_announced_before_it_is_taken_back() {
    let mut agent = Running::start(|echo| *echo.takes.lock().unwrap() = Duration::from_millis(300)).await;
    until(|| agent.announced() == 1).await;
    agent.stop.soft();
    until(|| agent.withdrawn()).await;
    assert_eq!(agent.echo.carried_out.load(Ordering::Relaxed), 1, "it comes after it was taken back, and stays");
    agent.ended().await;
}

#[tokio::test]
async fn no_proxy_is_dialled_before_streams_can_be_judged() {
    for is_prepared_at_last in [true, false] {
        let mut agent = Running::start(|echo| {
            echo.prepared.send_replace(false);
        })
        .await;
        Clock::system().sleep(Duration::from_millis(200)).await;
        assert!(agent.proxy.shown.lock().unwrap().is_empty());
        assert!(agent.state().contains("needs before it serves"), "{}", agent.state());
        if is_prepared_at_last {
            agent.echo.prepared.send_replace(true);
            agent.readiness.ready().await;
        }
        agent.stop.soft();
        agent.ended().await;
    }
}

#[tokio::test]
async fn an_agent_without_a_link_is_not_ready() {
    let Running { proxy, readiness, stop, mut tasks, .. } = Running::start(|_| {}).await;
    readiness.ready().await;
    drop(proxy);
    until(|| !readiness.is_ready()).await;
    let state = format!("{:?}", readiness.component("agent"));
    assert!(state.contains("no link to a proxy"), "{state}");
    stop.soft();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_renewed_host_links_anew_and_what_runs_goes_on() {
    let mut agent = Running::start(|_| {}).await;
    agent.readiness.ready().await;
    let mut stream = agent.echo().await;
    let renewed = agent.authority.identity("App", "app.teleport.cluster.local").await;
    let certificate = renewed.tls().der().to_vec();
    agent.host.replace(renewed).unwrap();
    until(|| agent.proxy.shown.lock().unwrap().last() == Some(&certificate)).await;
    assert_eq!(agent.proxy.shown.lock().unwrap().len(), 2, "one link each");
    // A stream of the old link, and one of the new.
    hears_itself(&mut stream).await;
    let mut next = agent.echo().await;
    hears_itself(&mut next).await;
    for mut stream in [stream, next] {
        stream.shutdown().await.unwrap();
    }
    agent.stop.soft();
    agent.ended().await;
}

#[tokio::test]
async fn what_streams_need_lives_as_long_as_the_last_of_them() {
    let mut agent = Running::start(|_| {}).await;
    agent.readiness.ready().await;
    let mut stream = agent.echo().await;
    agent.stop.soft();
    until(|| agent.withdrawn()).await;
    hears_itself(&mut stream).await;
    assert_eq!(*agent.echo.ended.borrow(), 0, "a stream runs, and what it needs");
    stream.shutdown().await.unwrap();
    drop(stream);
    agent.ended().await;
    assert_eq!(*agent.echo.ended.borrow(), 1);
}

#[tokio::test]
async fn what_panics_is_begun_anew_and_holds_up_no_stop() {
    let mut agent = Running::start(|echo| echo.is_ill.store(true, Ordering::Relaxed)).await;
    until(|| !agent.echo.is_ill.load(Ordering::Relaxed)).await;
    until(|| agent.announced() > 0).await;
    agent.stop.soft();
    agent.ended().await;
}

#[tokio::test]
async fn only_a_proxy_of_the_cluster_is_dialled() {
    let (authority, others) = (Authority::new().await, Authority::new().await);
    const NAME: &str = "proxy.teleport.cluster.local";
    for (authority_of_proxy, name, alpn, is_accepted) in [
        (&authority, NAME, &b"tessera-tunnel"[..], true),
        (&others, NAME, b"tessera-tunnel", false),
        (&authority, "app.teleport.cluster.local", b"tessera-tunnel", false),
        (&authority, NAME, b"h2", false),
    ] {
        let proxy = proxy(authority_of_proxy, name, alpn).await;
        let host = authority.host(&proxy.address, None).await;
        let dialled: io::Result<_> = Dialler(host).dial(&proxy.address).await;
        assert_eq!(dialled.is_ok(), is_accepted, "{name} {alpn:?}");
    }
}

#[tokio::test]
async fn an_identity_is_a_hosts_and_its_key_is_the_certificates() {
    let authority = Authority::new().await;
    let (first, second) = (key(), key());
    let of_host = authority.issue(&first, &format!("{HOST}.{CLUSTER}"), "App", "a").await;
    assert!(Identity::new(second, of_host.clone()).is_err(), "another key");
    let identity = Identity::new(first.clone(), of_host).unwrap();
    assert_eq!((identity.host_id(), identity.role(), identity.cluster()), (HOST, SystemRole::App, CLUSTER));
    let of_user = authority.issue(&first, "alice", "access", "a").await;
    assert!(Identity::new(first, of_user).is_err(), "a user is no host");
}

#[tokio::test]
async fn what_was_joined_once_is_found_again_without_a_token() {
    let (authority, home) = (Authority::new().await, tempfile::tempdir().unwrap());
    let error = Host::obtain(config("127.0.0.1:1", Some(home.path()))).await.err().expect("no token");
    assert!(error.message.contains("ca_pin"), "{error}");
    let host = authority.host("127.0.0.1:1", Some(home.path())).await;
    let again = Host::obtain(config("127.0.0.1:1", Some(home.path()))).await.unwrap();
    assert_eq!(again.identity().tls(), host.identity().tls());
    assert_eq!(again.identity().key().public(), host.identity().key().public());
}
