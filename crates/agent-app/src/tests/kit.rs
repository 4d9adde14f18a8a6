//! What the tests are made of: a small cluster, an agent at the end of a link, fakes for its ports.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use clock::{Clock, Timestamp};
use crypto::{
    Algorithm, KeyPair, Random, SecretString,
    tls::{self, CertificateChain, ClientOptions, Exported, ServerCertificate},
    x509::Certificate,
};
use domain::{
    AnyResource, Error, Metadata, Resource as _,
    ca::CaType,
    form::Labels,
    identity::{Identity, RouteToApp},
    resources::{App, app_server::AppServer, cert_authority::CertAuthority, lock::Lock, role::Role},
    suite::Suite,
};
use keystore::{SealingKey, SoftwareKeyStore};
use net::BoxIo;
use rustls::pki_types::ServerName;
use service::Stop;
use tokio::{io::AsyncWriteExt as _, task::JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tunnel::{Open, Stream, Transport, link};

use crate::{
    AppService, Config, Me, Ports, Session, View,
    ports::{Assertion, Assertions, Changes, Happened, Journal, Live, Presence, Report, Sessions},
};

pub(crate) const CLUSTER: &str = "example.test";
pub(crate) const HOST_ID: &str = "11111111-2222-3333-4444-555555555555";

/// The authorities of a cluster.
pub(crate) struct Cluster {
    store: SoftwareKeyStore,
    user: CertAuthority,
    host: CertAuthority,
}

/// A key and a certificate for it.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
}

impl Shown {
    pub(crate) fn chain(&self) -> CertificateChain {
        CertificateChain::new(std::slice::from_ref(&self.certificate), &self.key).unwrap()
    }
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], Random::system()).unwrap();
        let (clock, random, suite) = (Clock::system(), Random::system(), Suite::BalancedV1);
        let user = ca::authority::new_authority(CaType::User, CLUSTER, suite, &store, &clock, &random).await.unwrap();
        let host = ca::authority::new_authority(CaType::Host, CLUSTER, suite, &store, &clock, &random).await.unwrap();
        Self { store, user, host }
    }

    /// A certificate of the user authority, or of the host authority, for this identity.
    pub(crate) async fn issue(&self, by: CaType, identity: &Identity, life: Duration) -> Shown {
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let now = Clock::system().now();
        let authority = if by == CaType::User { &self.user } else { &self.host };
        let names = ca::x509::AlternativeNames {
            dns: vec![format!("{HOST_ID}.{CLUSTER}")],
            ..ca::x509::AlternativeNames::default()
        };
        let template = ca::x509::host_template(identity, key.public().clone(), names, now, now + life);
        let signer = ca::authority::tls_signer(authority).unwrap();
        let certificate = ca::x509::issue(&template, &signer, &self.store, &Random::system()).await.unwrap();
        Shown { key, certificate }
    }

    /// Both ends of a connection to a proxy: the proxy's, and the agent's.
    pub(crate) async fn link(&self) -> (Transport, Transport) {
        let (name, clock) = ("proxy.teleport.cluster.local", Clock::system());
        let (chain, roots) = self.server(name).await;
        let certificate = ServerCertificate::new(chain);
        let server = tls::server_config(certificate, tls::ClientAuth::None, &[tunnel::ALPN], &clock).unwrap();
        let trust = tls::Trust::Roots(roots);
        let options = ClientOptions { trust, certificate: None, alpn: vec![tunnel::ALPN.to_vec()] };
        let client = tls::client_config(options, &clock).unwrap();
        let (near, far) = tokio::io::duplex(256 * 1024);
        let (near, far) = tokio::join!(
            TlsAcceptor::from(server).accept(near),
            TlsConnector::from(client).connect(ServerName::try_from(name).unwrap(), far)
        );
        let (near, far) = (near.unwrap(), far.unwrap());
        let exported = (Exported::of(near.get_ref().1), Exported::of(far.get_ref().1));
        (Transport { io: Box::new(near), exported: exported.0 }, Transport { io: Box::new(far), exported: exported.1 })
    }

    /// What a server of this name shows, and the authority that vouches for it.
    pub(crate) async fn server(&self, name: &str) -> (CertificateChain, Vec<Certificate>) {
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let names = ca::x509::AlternativeNames::from_hosts([name]);
        let (now, identity) = (Clock::system().now(), Identity { username: name.into(), ..Identity::default() });
        let end = now + Duration::from_secs(600);
        let template = ca::x509::host_template(&identity, key.public().clone(), names, now, end);
        let signer = ca::authority::tls_signer(&self.host).unwrap();
        let certificate = ca::x509::issue(&template, &signer, &self.store, &Random::system()).await.unwrap();
        let roots = ca::authority::trusted_certificates(&self.host).unwrap();
        (CertificateChain::new(&[certificate], &key).unwrap(), roots)
    }
}

/// What auth puts into the certificate of a session.
pub(crate) fn identity(session_id: &str, app: &str) -> Identity {
    Identity {
        username: "alice".into(),
        roles: vec!["reach".into()],
        usage: vec!["usage:apps".into()],
        teleport_cluster: CLUSTER.into(),
        route_to_app: RouteToApp {
            session_id: session_id.into(),
            name: app.into(),
            cluster_name: CLUSTER.into(),
            public_addr: format!("{app}.proxy.example"),
            ..RouteToApp::default()
        },
        ..Identity::default()
    }
}

pub(crate) async fn session(traits: &[(&str, &[&str])]) -> Session {
    let mut identity = identity("some-session", "app");
    let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    identity.traits = traits.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect();
    let shown = Cluster::new().await.issue(CaType::User, &identity, Duration::from_secs(60)).await;
    Session::read(shown.certificate, CLUSTER).unwrap()
}

pub(crate) fn session_with_traits(traits: &[(&str, &[&str])]) -> Session {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(session(traits))
}

pub(crate) fn role(name: &str, key: &str, value: &str) -> AnyResource {
    let mut role = Role { metadata: Metadata::named(name), version: "v7".into(), ..Role::default() };
    role.spec.allow.app_labels = [(key, vec![value])].into_iter().collect::<Labels>();
    role.set_defaults();
    AnyResource::Role(role)
}

pub(crate) fn lock(user: &str) -> AnyResource {
    let mut lock = Lock { metadata: Metadata::named("lock"), ..Lock::default() };
    lock.spec.target.user = user.to_owned();
    lock.spec.message = "go away".to_owned();
    lock.set_defaults();
    AnyResource::Lock(lock)
}

pub(crate) fn app(name: &str, uri: &str) -> App {
    let mut app = App { metadata: Metadata::named(name), ..App::default() };
    app.spec.uri = uri.to_owned();
    app
}

/// Everything that the agent asks of the cluster, in memory.
#[derive(Default)]
pub(crate) struct FakeAuth {
    pub(crate) ended: Mutex<Vec<String>>,
    pub(crate) is_down: AtomicBool,
    pub(crate) asked: AtomicUsize,
    pub(crate) signed: AtomicUsize,
    pub(crate) port: AtomicUsize,
    pub(crate) announced: Mutex<HashMap<String, AppServer>>,
    /// An application that is not taken.
    pub(crate) refuses: Mutex<String>,
    /// How many follow the changes.
    pub(crate) following: AtomicUsize,
    pub(crate) reports: Mutex<Vec<Report>>,
    /// How many lines of reports are taken in one call; 0: any number.
    pub(crate) takes: AtomicUsize,
    /// How often reports came.
    pub(crate) calls: AtomicUsize,
}

impl FakeAuth {
    fn answer(&self) -> Result<(), Error> {
        if self.is_down.load(Ordering::Relaxed) { Err(Error::unavailable("down")) } else { Ok(()) }
    }

    /// The first report of its kind.
    pub(crate) fn reported<T>(&self, pick: impl Fn(&Happened) -> Option<T>) -> Option<T> {
        self.reports.lock().unwrap().iter().find_map(|report| pick(&report.what))
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            sessions: Arc::clone(self) as _,
            assertions: Arc::clone(self) as _,
            presence: Arc::clone(self) as _,
            changes: Arc::clone(self) as _,
            journal: Arc::clone(self) as _,
        }
    }
}

fn later() -> Timestamp {
    Clock::system().now() + Duration::from_secs(600)
}

#[async_trait]
impl Sessions for FakeAuth {
    async fn live(&self, session_id: &str) -> Result<Option<Live>, Error> {
        self.answer()?;
        self.asked.fetch_add(1, Ordering::Relaxed);
        let is_over = self.ended.lock().unwrap().iter().any(|id| id == session_id);
        let target_port = u16::try_from(self.port.load(Ordering::Relaxed)).unwrap();
        Ok((!is_over).then(|| Live { not_after: later(), target_port }))
    }
}

#[async_trait]
impl Assertions for FakeAuth {
    async fn assertion(&self, _: &str, app: &str) -> Result<Assertion, Error> {
        self.answer()?;
        let count = self.signed.fetch_add(1, Ordering::Relaxed);
        Ok(Assertion { token: SecretString::new(format!("signed.{app}.{count}")), expires: later() })
    }
}

#[async_trait]
impl Presence for FakeAuth {
    async fn announce(&self, server: AppServer) -> Result<(), Error> {
        if server.name() == *self.refuses.lock().unwrap() {
            return Err(Error::conflict("its public address is another application's"));
        }
        self.announced.lock().unwrap().insert(server.name().to_owned(), server);
        Ok(())
    }

    async fn withdraw(&self, _: &str, app: &str) -> Result<(), Error> {
        self.announced.lock().unwrap().remove(app);
        Ok(())
    }
}

#[async_trait]
impl Changes for FakeAuth {
    async fn follow(&self, _: &View, _: bool) -> Error {
        struct Ends<'a>(&'a AtomicUsize);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.following.fetch_add(1, Ordering::Relaxed);
        let _ends = Ends(&self.following);
        std::future::pending().await
    }
}

#[async_trait]
impl Journal for FakeAuth {
    async fn report(&self, reports: &[Report]) -> Result<(), Error> {
        self.answer()?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (takes, lines) = (self.takes.load(Ordering::Relaxed), reports.iter().map(Report::lines).sum::<usize>());
        if takes > 0 && lines > takes {
            return Err(Error::limit("too many fields"));
        }
        self.reports.lock().unwrap().extend_from_slice(reports);
        Ok(())
    }
}

/// An agent at the end of a link, and the proxy's end of it.
pub(crate) struct Kit {
    pub(crate) cluster: Cluster,
    pub(crate) auth: Arc<FakeAuth>,
    pub(crate) view: Arc<View>,
    pub(crate) service: Arc<AppService>,
    /// Asks the agent to stop.
    pub(crate) stop: Stop,
    opener: link::Opener,
    tasks: JoinSet<()>,
}

impl Kit {
    /// An agent that knows role `reach`, which reaches everything.
    pub(crate) async fn new(config: Config) -> Self {
        Self::with_clock(config, Clock::system()).await
    }

    /// The same; this is what the agent takes for the time.
    pub(crate) async fn with_clock(config: Config, clock: Clock) -> Self {
        let cluster = Cluster::new().await;
        let host = Identity {
            username: format!("{HOST_ID}.{CLUSTER}"),
            roles: vec!["App".into()],
            teleport_cluster: CLUSTER.into(),
            ..Identity::default()
        };
        let shown = cluster.issue(CaType::Host, &host, Duration::from_secs(600)).await;
        let chain = CertificateChain::new(&[shown.certificate], &shown.key).unwrap();
        let me = Me {
            host_id: HOST_ID.into(),
            cluster: CLUSTER.into(),
            certificate: ServerCertificate::new(chain),
            clock: clock.clone(),
            random: Random::system(),
        };
        let view = Arc::new(View::new(CLUSTER).unwrap());
        let known = vec![role("reach", "*", "*"), AnyResource::CertAuthority(cluster.user.clone())];
        view.replace(known, clock.monotonic());
        let auth = Arc::new(FakeAuth::default());
        let service = AppService::new(config, me, Arc::clone(&view), auth.ports()).unwrap();
        let (near, far) = cluster.link().await;
        let mut tasks = JoinSet::new();
        let (serving, link_clock) = (Arc::clone(&service), Clock::system());
        tasks.spawn(async move { drop(link::serve(far, serving, &link_clock, CancellationToken::new()).await) });
        let (running, stop) = (Arc::clone(&service), Stop::new());
        let stopping = stop.clone();
        tasks.spawn(async move { agent::Service::run(&*running, stopping, Stop::new()).await });
        let (opener, link) = link::Opener::begin(near, HOST_ID, &Clock::system()).await.unwrap();
        tasks.spawn(link);
        // As with the control stream: by the answer to the first one the proxy knows that proofs are understood.
        drop(opener.open(&Open::service("app"), &Clock::system()).await.unwrap());
        Self { cluster, auth, view, service, stop, opener, tasks }
    }

    /// Runs an application beside the agent.
    pub(crate) fn run(&mut self, application: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(application);
    }

    /// Waits for something that happens soon.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..500 {
            if let Some(found) = look() {
                return found;
            }
            Clock::system().sleep(Duration::from_millis(20)).await;
        }
        panic!("it did not happen in 10 s");
    }

    pub(crate) async fn session(&self, id: &str, app: &str) -> Shown {
        self.cluster.issue(CaType::User, &identity(id, app), Duration::from_secs(600)).await
    }

    async fn open(&self, protocol: Option<&str>) -> Stream {
        let source = Some("192.0.2.7:1234".parse().unwrap());
        let open = Open { source, protocol: protocol.map(str::to_owned), ..Open::service("app") };
        self.opener.open(&open, &Clock::system()).await.unwrap()
    }

    /// A stream through the tunnel, as a proxy opens one to its own agents.
    pub(crate) async fn connect(&self, shown: &Shown, protocol: &str) -> BoxIo {
        let mut stream = self.open(Some(protocol)).await;
        let proof = stream.proof(&shown.chain()).unwrap().unwrap();
        stream.write_all(&proof).await.unwrap();
        Box::new(stream)
    }

    /// Both ways in which a session is shown, one after the other.
    pub(crate) async fn connect_both(&self, shown: &Shown, protocol: &str) -> [BoxIo; 2] {
        let by_tls = self.connect_by_tls(Some(shown), protocol.as_bytes()).await.unwrap();
        assert_eq!(by_tls.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        [self.connect(shown, protocol).await, Box::new(by_tls)]
    }

    /// The same with whatever comes first.
    pub(crate) async fn connect_with(&self, first: impl FnOnce(&Stream) -> Vec<u8>) -> BoxIo {
        let mut stream = self.open(Some("http/1.1")).await;
        let first = first(&stream);
        stream.write_all(&first).await.unwrap();
        Box::new(stream)
    }

    /// A stream through the tunnel, TLS included, as a proxy opens one to the agents of another.
    pub(crate) async fn connect_by_tls(
        &self,
        shown: Option<&Shown>,
        alpn: &[u8],
    ) -> std::io::Result<TlsStream<Stream>> {
        let stream = self.open(None).await;
        let options = ClientOptions {
            trust: tls::Trust::Roots(ca::authority::trusted_certificates(&self.cluster.host).unwrap()),
            certificate: shown.map(Shown::chain),
            alpn: vec![alpn.to_vec()],
        };
        let config = tls::client_config(options, &Clock::system()).unwrap();
        let name = ServerName::try_from(format!("{HOST_ID}.{CLUSTER}")).unwrap();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Serves these definitions from now on, as if they stood in the cluster.
    pub(crate) fn put(&self, resource: AnyResource) {
        self.view.apply(api::convert::watch::Event::Put(Box::new(resource)));
    }
}
