//! A cluster's authorities, a proxy on loopback, an agent with an application, and clients.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ca::x509::{AuthorityTemplate, Signer, host_template, issue, self_signed, user_template};
use client::{Client, Credentials};
use clock::{Clock, Timestamp};
use crypto::{
    Algorithm, KeyPair, Random, SecretString,
    hash::sha256,
    ssh::CertificateType,
    tls::{
        CertificateChain, ClientAuth, ClientOptions, Exported, ServerCertificate, Trust, TrustedClients, client_config,
        server_config,
    },
    x509::Certificate,
};
use domain::{
    Error,
    ca::CaType,
    form::Bytes as DocumentBytes,
    identity::{Identity as Subject, RouteToApp},
    resources::{
        App, AppServer, CertAuthority,
        app::AppSpec,
        app_server::AppServerSpec,
        cert_authority::{KeySet, SshKeyPair, TlsKeyPair},
    },
};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keystore::{KeyStore, SoftwareKeyStore};
use net::{Listener, ListenerOptions, proxy_protocol::Header};
use rustls::pki_types::ServerName;
use service::Stop;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tunnel::{
    Open, Stream, Transport,
    agent::{Agent, Dial, Entry},
    link::Serve,
    source::Statement,
};

use crate::{
    Address, AppSession, Config, Holder, Identity, Limits, Listeners, Metrics, Ports, Proxy, Sessions, WebCertificate,
    router::{HTTP_1_1, TCP, TUNNEL},
};

pub(super) const CLUSTER: &str = "c.example";
pub(super) const PROXY: &str = "proxy.example";
pub(super) const APP: &str = "grafana.proxy.example";
pub(super) const SESSION: &str = "an id that nobody guesses";
pub(super) const AGENT: &str = "a6e7";

/// An authority that issues.
pub(super) struct Authority {
    signer: Signer,
    store: SoftwareKeyStore,
    random: Random,
}

impl Authority {
    pub(super) async fn new(seed: u64) -> Self {
        let random = Random::seeded(seed);
        let store = SoftwareKeyStore::new(vec![keystore::SealingKey::generate(&random).0], random.clone()).unwrap();
        let key = store.generate(Algorithm::EcdsaP256, keystore::KeyUse::AuditCheckpoints).await.unwrap();
        let now = Clock::system().now();
        let template = AuthorityTemplate {
            cluster: CLUSTER.into(),
            uris: Vec::new(),
            signs_documents: false,
            not_before: now - Duration::from_secs(86400),
            not_after: now + Duration::from_secs(86400),
        };
        let certificate = self_signed(&template, &key, &store, &random).await.unwrap();
        Self { signer: Signer { certificate, key }, store, random }
    }

    pub(super) fn certificate(&self) -> Certificate {
        self.signer.certificate.clone()
    }

    pub(super) async fn host(&self, id: &str, role: &str, names: &[&str]) -> (Certificate, KeyPair) {
        let name = format!("{id}.{CLUSTER}");
        let subject = Subject {
            username: name.clone(),
            roles: vec![role.into()],
            teleport_cluster: CLUSTER.into(),
            ..Subject::default()
        };
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let names = ca::x509::AlternativeNames::from_hosts(names.iter().copied().chain([name.as_str()]));
        let now = Clock::system().now();
        let end = now + Duration::from_secs(3600);
        let template = host_template(&subject, key.public().clone(), names, now, end);
        (issue(&template, &self.signer, &self.store, &self.random).await.unwrap(), key)
    }

    pub(super) async fn user(&self, name: &str, app: &str, session: &str, end: Duration) -> (Certificate, KeyPair) {
        let subject = Subject {
            username: name.into(),
            roles: vec!["access".into()],
            usage: vec!["usage:apps".into()],
            teleport_cluster: CLUSTER.into(),
            route_to_app: RouteToApp {
                session_id: session.into(),
                cluster_name: CLUSTER.into(),
                public_addr: APP.into(),
                name: app.into(),
                ..RouteToApp::default()
            },
            ..Subject::default()
        };
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let template =
            user_template(&subject, key.public().clone(), Clock::system().now(), Clock::system().now() + end);
        (issue(&template, &self.signer, &self.store, &self.random).await.unwrap(), key)
    }

    /// An SSH certificate, as `change` wants it.
    pub(super) async fn ssh(
        &self,
        cert_type: CertificateType,
        key: &KeyPair,
        principals: &[&str],
        change: impl FnOnce(&mut ca::ssh::Template),
    ) -> crypto::ssh::Certificate {
        let now = Clock::system().now();
        let mut template = ca::ssh::Template {
            cert_type,
            public_key: key.public().clone(),
            key_id: "alice".into(),
            principals: principals.iter().map(|&name| name.into()).collect(),
            valid_after: now - Duration::from_secs(60),
            valid_before: now + Duration::from_secs(3600),
            critical_options: Vec::new(),
            extensions: Vec::new(),
        };
        change(&mut template);
        ca::ssh::issue(&template, &self.signer.key, &self.store, &self.random).await.unwrap()
    }

    pub(super) fn document(&self, ca_type: CaType) -> CertAuthority {
        let mut document = CertAuthority::empty(ca_type, CLUSTER);
        let line = self.signer.key.public.to_authorized_key().into_bytes();
        let ssh = SshKeyPair { public_key: DocumentBytes(line), ..SshKeyPair::default() };
        let pair =
            TlsKeyPair { cert: DocumentBytes(self.certificate().to_pem().into_bytes()), ..TlsKeyPair::default() };
        document.spec.active_keys = KeySet { tls: vec![pair], ssh: vec![ssh], ..KeySet::default() };
        document
    }
}

/// How long a slow answer about a session is under way.
pub(super) const SLOW: Duration = Duration::from_millis(600);

/// Sessions that a test makes and ends.
#[derive(Default)]
pub(super) struct FakeSessions {
    live: Mutex<HashMap<String, Session>>,
    pub(super) asked: AtomicUsize,
    /// How many are asked for now that are not there, and how many there were at most.
    missed: AtomicUsize,
    pub(super) most_missed: AtomicUsize,
    /// Questions are never answered.
    pub(super) is_silent: AtomicBool,
    /// Answers are under way for a while.
    pub(super) is_slow: AtomicBool,
    /// What questions are answered with, instead.
    pub(super) failure: Mutex<Option<Error>>,
}

#[derive(Clone)]
struct Session {
    user: String,
    app: String,
    holder: Holder,
    certificate: CertificateChain,
    expires: Timestamp,
}

impl FakeSessions {
    pub(super) fn end(&self, id: &str) {
        self.live.lock().unwrap().remove(id);
    }

    /// The session is held by a browser from now on, with this token.
    pub(super) fn give_to_browser(&self, id: &str, bearer: &str) {
        self.live.lock().unwrap().get_mut(id).unwrap().holder = Holder::Bearer(sha256(bearer.as_bytes()));
    }

    pub(super) fn is_live(&self, id: &str) -> bool {
        self.live.lock().unwrap().contains_key(id)
    }
}

#[async_trait]
impl Sessions for FakeSessions {
    async fn fetch(&self, id: &SecretString) -> Result<AppSession, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.failure.lock().unwrap().clone() {
            return Err(error);
        }
        let session = self.live.lock().unwrap().get(id.expose()).cloned();
        let Some(session) = session else {
            let now = self.missed.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_missed.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(30)).await;
            self.missed.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::not_found("no such session"));
        };
        if self.is_slow.load(Ordering::Relaxed) {
            tokio::time::sleep(SLOW).await;
        }
        Ok(AppSession {
            user: session.user,
            app: session.app,
            public_addr: APP.into(),
            target_port: 0,
            expires: session.expires,
            holder: session.holder,
            certificate: session.certificate,
        })
    }

    async fn end(&self, id: &SecretString) -> Result<(), Error> {
        let ended = self.live.lock().unwrap().remove(id.expose());
        ended.map(drop).ok_or_else(|| Error::not_found("no such session"))
    }
}

pub(super) struct World {
    pub(super) hosts: Authority,
    pub(super) users: Authority,
    pub(super) address: SocketAddr,
    pub(super) sessions: Arc<FakeSessions>,
    /// Where connections for the auth service arrive.
    pub(super) auth: TcpListener,
    pub(super) stop: Stop,
    pub(super) proxy: Arc<Proxy>,
    /// Calls of the auth service.
    pub(super) calls: Arc<AtomicUsize>,
    /// What streams to agents were opened for.
    pub(super) opened: Opened,
    config: Config,
    directory: tempfile::TempDir,
}

type Opened = Arc<Mutex<Vec<Open>>>;

pub(super) async fn world() -> World {
    world_with(|_| {}).await
}

pub(super) async fn world_with(change: impl FnOnce(&mut Config)) -> World {
    let (hosts, users) = (Authority::new(1).await, Authority::new(2).await);
    let directory = tempfile::tempdir().unwrap();
    let auth = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config {
        cluster: CLUSTER.into(),
        host_id: "f00d".into(),
        node_name: "one".into(),
        public_addresses: vec![Address::new(PROXY, 3080)],
        listen_address: Address::new("0.0.0.0", 3080),
        ssh_listen_address: None,
        tunnel_listen_address: None,
        auth_addresses: vec![auth.local_addr().unwrap().to_string()],
        ssh_public_addresses: Vec::new(),
        tunnel_public_addresses: Vec::new(),
        peer_address: None,
        proxy_protocol: net::proxy_protocol::Mode::Unspecified,
        trust_x_forwarded_for: false,
        acme: None,
        limits: Limits::default(),
    };
    change(&mut config);
    let sessions = Arc::new(FakeSessions::default());
    let calls = Arc::default();
    let client = silent_client(&directory.path().join("auth"), &calls).await;
    let (address, stop, proxy) = start(&hosts, &users, config.clone(), &sessions, client, &[]).await;
    World { hosts, users, address, sessions, auth, stop, proxy, calls, opened: Opened::default(), config, directory }
}

/// Starts a proxy that knows the application, and that its agent is attached to `attached`.
async fn start(
    hosts: &Authority,
    users: &Authority,
    config: Config,
    sessions: &Arc<FakeSessions>,
    client: Client,
    attached: &[&str],
) -> (SocketAddr, Stop, Arc<Proxy>) {
    let (certificate, key) = hosts.host(&config.host_id, "Proxy", &["proxy.teleport.cluster.local"]).await;
    let shown = hosts.ssh(CertificateType::Host, &key, &[PROXY, "127.0.0.1"], |_| {}).await;
    let identity = Identity::new(certificate, key, vec![hosts.certificate()]).unwrap().with_ssh(shown).unwrap();
    let (web, web_key) = hosts.host("web", "Proxy", &[PROXY, "*.proxy.example", "127.0.0.1"]).await;
    let ports = Ports {
        client,
        sessions: Some(Arc::clone(sessions) as _),
        web: WebCertificate::new(&[(vec![web], web_key)]).unwrap(),
        clock: Clock::system(),
        random: Random::system(),
        metrics: Metrics::default(),
    };
    let proxy = Proxy::new(config, identity, ports).unwrap();
    proxy.view.set_authorities(vec![hosts.document(CaType::Host), users.document(CaType::User)]);
    proxy.tls.trust(&proxy.view.authorities()).unwrap();
    proxy.view.put_server(&server(AGENT, attached));
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenerOptions::default()).unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
    tokio::spawn(Arc::clone(&proxy).run(Listeners { web: vec![listener], http: Vec::new() }, stop.clone()));
    (address, stop, proxy)
}

/// The application, as this agent announces it.
pub(super) fn server(agent: &str, attached: &[&str]) -> AppServer {
    let app = App::new("grafana", AppSpec { uri: "http://localhost:1".into(), ..AppSpec::default() });
    let proxy_ids = attached.iter().map(|id| (*id).to_owned()).collect();
    let spec = AppServerSpec { host_id: agent.into(), app: Some(app), proxy_ids, ..AppServerSpec::default() };
    AppServer::new("grafana", spec)
}

/// A client whose server answers every call with "unavailable".
async fn silent_client(path: &Path, calls: &Arc<AtomicUsize>) -> Client {
    let calls = Arc::clone(calls);
    let count = move |_: &str, _: &[u8]| {
        calls.fetch_add(1, Ordering::Relaxed);
        None
    };
    client_of(path, count).await
}

/// A client whose server answers calls, by their path and message, with a message; where there is none with "unavailable".
pub(super) async fn client_of(
    path: &Path,
    answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Client {
    let (listener, answer) = (UnixListener::bind(path).unwrap(), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let answer = service_fn(move |request: Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let path = request.uri().path().to_owned();
                    let asked = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
                    let message = answer(&path, asked.get(5..).unwrap_or_default());
                    let status = if message.is_some() { "0" } else { "14" };
                    // A message is preceded by whether it is compressed, and its length.
                    let framed = message.map(|message| {
                        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
                    });
                    let end = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
                    let body = Full::<Bytes>::from(framed.unwrap_or_default());
                    let body = body.with_trailers(std::future::ready(Some(Ok(end))));
                    let answer = Response::builder().header("content-type", "application/grpc");
                    Ok::<_, io::Error>(answer.body(Box::pin(body)).unwrap())
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    let address = format!("unix://{}", path.display());
    let config = client::Config::new([address], Credentials::none(), Clock::system(), Random::system());
    Client::connect(config).await.unwrap()
}

impl World {
    /// The proxy's signed word in a header that the auth service gets, and the certificate that it is signed with.
    pub(super) fn said(&self, header: &Header) -> (Statement<'static>, Certificate) {
        let now = Clock::system().now();
        Statement::verify(header, CLUSTER, &[self.hosts.certificate()], now).expect("the proxy's signed word")
    }

    /// A session of `user` with an application, and the certificate that holds it.
    pub(super) async fn session(&self, user: &str, app: &str, id: &str) -> CertificateChain {
        let hour = Duration::from_secs(3600);
        let (certificate, key) = self.users.user(user, app, id, hour).await;
        let (own, own_key) = self.users.user(user, app, id, hour).await;
        let session = Session {
            user: user.into(),
            app: app.into(),
            holder: Holder::ClientKey(sha256(certificate.spki_der())),
            certificate: CertificateChain::new(&[own], &own_key).unwrap(),
            expires: Clock::system().now() + hour,
        };
        self.sessions.live.lock().unwrap().insert(id.into(), session);
        CertificateChain::new(&[certificate], &key).unwrap()
    }

    /// From here on clients meet another proxy, to which the agent is not attached.
    pub(super) async fn meet_another_proxy(&mut self) {
        let (address, stop, proxy) = Box::pin(self.start_another("beef", &["f00d"])).await;
        proxy.peers.set(HashMap::from([("f00d".to_owned(), self.address.to_string())]));
        (self.address, self.stop, self.proxy) = (address, stop, proxy);
    }

    /// Another proxy with this host id, that knows the agent to be attached to `attached`.
    pub(super) async fn start_another(&self, host_id: &str, attached: &[&str]) -> (SocketAddr, Stop, Arc<Proxy>) {
        let config = Config { host_id: host_id.to_owned(), ..self.config.clone() };
        let client = silent_client(&self.directory.path().join(host_id), &self.calls).await;
        start(&self.hosts, &self.users, config, &self.sessions, client, attached).await
    }

    /// The certificate of a host, as it shows it to us.
    pub(super) async fn chain(&self, id: &str, role: &str) -> CertificateChain {
        let (certificate, key) = self.hosts.host(id, role, &[]).await;
        CertificateChain::new(&[certificate], &key).unwrap()
    }

    pub(super) async fn connect(
        &self,
        name: &str,
        certificate: Option<CertificateChain>,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        let options = ClientOptions {
            trust: Trust::Roots(vec![self.hosts.certificate()]),
            certificate,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        };
        let config = client_config(options, &Clock::system()).unwrap();
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(config).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await
    }

    /// A connection for HTTP/1.1 requests.
    pub(super) async fn http(
        &self,
        name: &str,
        certificate: Option<CertificateChain>,
    ) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
        let stream = self.connect(name, certificate, &[HTTP_1_1]).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    /// Bytes sent, and all that comes back until the connection ends.
    pub(super) async fn raw(&self, name: &str, certificate: Option<CertificateChain>, bytes: &[u8]) -> String {
        let mut stream = self.connect(name, certificate, &[HTTP_1_1]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut back = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut back)).await;
        String::from_utf8_lossy(&back).into_owned()
    }

    /// An agent with the application, attached.
    pub(super) async fn agent(&self) -> CancellationToken {
        self.agent_at(self.address).await
    }

    /// The same, attached to the proxy at this address.
    pub(super) async fn agent_at(&self, address: SocketAddr) -> CancellationToken {
        self.agent_for(&self.users, AGENT, address).await
    }

    /// The same, with this host id and the users of this authority.
    pub(super) async fn agent_for(&self, users: &Authority, id: &str, address: SocketAddr) -> CancellationToken {
        self.agent_that_shows(self.chain(id, "App").await, users, id, address).await
    }

    /// The same; to those who come through its tunnel it shows this certificate.
    pub(super) async fn agent_that_shows(
        &self,
        shown: CertificateChain,
        users: &Authority,
        id: &str,
        address: SocketAddr,
    ) -> CancellationToken {
        self.attach(shown, users, id, address, true).await
    }

    /// An agent of before there were proofs.
    pub(super) async fn old_agent(&self) -> CancellationToken {
        self.attach(self.chain(AGENT, "App").await, &self.users, AGENT, self.address, false).await
    }

    async fn attach(
        &self,
        shown: CertificateChain,
        users: &Authority,
        id: &str,
        address: SocketAddr,
        takes_proofs: bool,
    ) -> CancellationToken {
        let users = TrustedClients::new(&[users.certificate()]).unwrap();
        let certificate = ServerCertificate::new(shown);
        let tls = server_config(
            certificate,
            ClientAuth::Optional(Arc::clone(&users)),
            &[b"h2", HTTP_1_1, TCP],
            &Clock::system(),
        )
        .unwrap();
        let options = ClientOptions {
            trust: Trust::Roots(vec![self.hosts.certificate()]),
            certificate: Some(self.chain(id, "App").await),
            alpn: vec![TUNNEL.to_vec()],
        };
        let dial = client_config(options, &Clock::system()).unwrap();
        let (connected, mut seen) = watch::channel(Vec::new());
        let (_, entry) = watch::channel(Entry::fixed(vec![address.to_string()]));
        let agent = Agent {
            entry,
            dial: Arc::new(Tls(TlsConnector::from(dial), takes_proofs)),
            serve: Arc::new(Behind(TlsAcceptor::from(tls), users, Arc::clone(&self.opened))),
            connected,
            clock: Clock::system(),
            random: Random::system(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(agent.run(stop.clone()));
        seen.wait_for(|proxies| !proxies.is_empty()).await.unwrap();
        stop
    }
}

/// Dials; whether proofs within the link are understood.
struct Tls(TlsConnector, bool);

#[async_trait]
impl Dial for Tls {
    async fn dial(&self, address: &str) -> io::Result<Transport> {
        let name = ServerName::try_from("proxy.teleport.cluster.local").unwrap();
        let stream = self.0.connect(name, TcpStream::connect(address).await?).await?;
        let exported = Exported::of(stream.get_ref().1).filter(|_| self.1);
        Ok(Transport { exported, io: Box::new(stream) })
    }
}

/// What an agent does: it looks at the session's certificate, then the application answers.
struct Behind(TlsAcceptor, Arc<TrustedClients>, Opened);

#[async_trait]
impl Serve for Behind {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        if open.service == "app" && open.source.is_some() { Ok(()) } else { Err(format!("{open:?}")) }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        self.2.lock().unwrap().push(open.clone());
        let (mut stream, leaf, protocol, shown) = match open.protocol.clone() {
            None => {
                let Ok(stream) = self.0.accept(stream).await else { return };
                let leaf = &stream.get_ref().1.peer_certificates().expect("the session's certificate")[0];
                let leaf = Certificate::from_der(leaf).unwrap();
                let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                (Box::new(stream) as net::BoxIo, leaf, protocol, "by TLS")
            }
            Some(protocol) => {
                let mut stream = stream;
                let Ok(leaf) = stream.proved(&self.1, &Clock::system()).await else { return };
                (Box::new(stream) as net::BoxIo, leaf, Some(protocol.into_bytes()), "within the link")
            }
        };
        let user = Subject::from_subject(leaf.subject()).unwrap().username;
        let user = format!("{user}\nshown: {shown}\nopened for: {}", open.source.unwrap().ip());
        match protocol.as_deref() {
            Some(TCP) => {
                let mut bytes = vec![0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..length]).await.unwrap();
                }
                let _ = stream.shutdown().await;
            }
            Some(b"h2") => {
                let service = service_fn(|request| application(request, user.clone()));
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
            _ => {
                let service = service_fn(|request| application(request, user.clone()));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            }
        }
    }
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

async fn application(mut request: Request<Incoming>, user: String) -> Result<Answer, hyper::Error> {
    let text = |text: String| Either::Right(Full::new(Bytes::from(text)));
    Ok(match request.uri().path() {
        "/echo" => Response::new(Either::Left(request.into_body())),
        "/never" => std::future::pending().await,
        "/swallow" => {
            let mut length = 0;
            while let Some(frame) = request.body_mut().frame().await {
                length += frame?.data_ref().map_or(0, Bytes::len);
            }
            Response::new(text(length.to_string()))
        }
        "/big" => Response::new(Either::Right(Full::new(Bytes::from(vec![7; 20_000_000])))),
        "/ws" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..length]).await.unwrap();
                }
            });
            let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let answer = answer.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "websocket");
            answer.body(text(String::new())).unwrap()
        }
        "/knows-better" => {
            let answer = Response::builder().header(header::STRICT_TRANSPORT_SECURITY, "max-age=0");
            answer.body(text(String::new())).unwrap()
        }
        "/not-for-you" => {
            let answer = Response::builder().status(StatusCode::FORBIDDEN).header("x-teleport-hop", "agent");
            answer.body(text("access denied".into())).unwrap()
        }
        "/undecided" => {
            let answer = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).header("x-teleport-hop", "agent");
            answer.body(text("cannot decide now".into())).unwrap()
        }
        "/gone" => {
            let answer = Response::builder().status(StatusCode::BAD_GATEWAY).header("x-teleport-hop", "agent");
            answer.body(text("connection refused".into())).unwrap()
        }
        _ => {
            let mut lines = format!("user: {user}\n{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                lines += &format!("{name}: {}\n", value.to_str().unwrap_or("?"));
            }
            let answer = Response::builder().header("connection", "x-hop").header("x-hop", "1").header("x-app", "1");
            answer.body(text(lines)).unwrap()
        }
    })
}

pub(super) fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
