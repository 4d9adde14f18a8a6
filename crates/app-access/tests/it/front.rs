//! A TLS server with client certificates in front of an application that tells what it was asked, and a ring of
//! certificates for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use app_access::{Access, Cached, Door, Issue, Issued, Lead, Listener, Local, serve};
use async_trait::async_trait;
use bytes::Bytes;
use ca::x509::AlternativeNames;
use client::{Proxies, Web};
use clock::{Clock, ManualClock};
use crypto::{
    Algorithm, KeyPair, Random,
    tls::{self, CertificateChain, ClientAuth, ServerCertificate, TrustedClients},
    x509::Certificate,
};
use domain::{Error, ca::CaType, identity::Identity, resources::CertAuthority, suite::Suite};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keystore::{SealingKey, SoftwareKeyStore};
use net::packets;
use service::Stop;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, split},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(crate) const NAME: &str = "grafana.proxy.example";

/// What the front calls itself.
pub(crate) const PROXY: &str = "proxy.example";

/// What the front was told to do, and where it is.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// So many requests find a connection that breaks.
    pub(crate) breaks: AtomicUsize,
    /// Whose certificates are not taken.
    pub(crate) refused: Mutex<Vec<String>>,
    /// Whom the agent does not let in.
    pub(crate) denied: Mutex<Vec<String>>,
    /// So many requests are told that nobody can decide now.
    pub(crate) undecided: AtomicUsize,
    /// It takes connections and says nothing.
    pub(crate) is_silent: AtomicBool,
    /// How many it has taken.
    pub(crate) taken: AtomicUsize,
}

/// Issues certificates; each for another user, `bot-1`, `bot-2` and so on.
pub(crate) struct Issuer {
    cluster: Arc<ClusterKeys>,
    web: Web,
    clock: Clock,
    count: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    is_silent: Arc<AtomicBool>,
    gate: Arc<tokio::sync::Mutex<()>>,
}

struct ClusterKeys {
    store: SoftwareKeyStore,
    user: CertAuthority,
    host: CertAuthority,
}

impl ClusterKeys {
    async fn new(clock: &Clock) -> Self {
        let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], Random::system()).unwrap();
        let (suite, random) = (Suite::BalancedV1, Random::system());
        let user = ca::authority::new_authority(CaType::User, "c", suite, &store, clock, &random).await.unwrap();
        let host = ca::authority::new_authority(CaType::Host, "c", suite, &store, clock, &random).await.unwrap();
        Self { store, user, host }
    }

    async fn issue(
        &self,
        from: &CertAuthority,
        who: &str,
        names: &[&str],
        clock: &Clock,
    ) -> (Certificate, CertificateChain) {
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        let identity = Identity { username: who.into(), roles: vec!["r".into()], ..Identity::default() };
        let end = clock.now() + Duration::from_secs(3600);
        let names = AlternativeNames::from_hosts(names.iter().copied());
        let template = ca::x509::host_template(&identity, key.public().clone(), names, clock.now(), end);
        let signer = ca::authority::tls_signer(from).unwrap();
        let certificate = ca::x509::issue(&template, &signer, &self.store, &Random::system()).await.unwrap();
        let chain = CertificateChain::new(std::slice::from_ref(&certificate), &key).unwrap();
        (certificate, chain)
    }
}

#[async_trait]
impl Issue for Issuer {
    async fn issue(&self, app: &str) -> Result<Issued, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        drop(self.gate.lock().await);
        if !["grafana", "postgres"].contains(&app) {
            return Err(Error::not_found(format!("application {app:?} not found")));
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let (certificate, chain) =
            self.cluster.issue(&self.cluster.user, &format!("bot-{number}"), &[], &self.clock).await;
        let lead = Lead {
            app: app.to_owned(),
            public_name: NAME.to_owned(),
            is_tcp: app == "postgres",
            web: self.web.clone(),
            chain,
            trust: tls::Trust::Front {
                roots: ca::authority::trusted_certificates(&self.cluster.host).unwrap(),
                name: PROXY.to_owned(),
            },
            not_after: certificate.not_after(),
        };
        let (renew_in, good_for) = (Duration::from_secs(1200), Duration::from_secs(3600));
        Ok(Issued { access: Access::new(lead, &self.clock)?, renew_in, good_for })
    }
}

/// A front, and a listener that leads there.
pub(crate) struct World {
    pub(crate) front: Arc<Front>,
    pub(crate) local: String,
    pub(crate) time: ManualClock,
    pub(crate) issued: Arc<AtomicUsize>,
    /// How often a certificate was asked for.
    pub(crate) asked: Arc<AtomicUsize>,
    /// Whoever issues says nothing.
    pub(crate) is_silent: Arc<AtomicBool>,
    /// Whoever issues goes on when this is free.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
    pub(crate) ring: Arc<Cached<Issuer>>,
    pub(crate) stop: Stop,
    pub(crate) serving: JoinHandle<()>,
}

fn straight(front: SocketAddr, _: &ManualClock) -> Web {
    Web::new(&front.to_string(), Proxies::default(), Clock::system())
}

impl World {
    pub(crate) async fn new(door: Door) -> Self {
        Self::behind(door, NAME).await
    }

    /// The front's certificate is for this name.
    pub(crate) async fn behind(door: Door, name: &str) -> Self {
        Self::build(door, name, straight, |_| Clock::system()).await
    }

    /// A balancer is said to end TLS before the front.
    pub(crate) async fn past_a_balancer(door: Door) -> Self {
        let proxies = Proxies::from_variables(|name| match name {
            "TELEPORT_TLS_ROUTING_CONN_UPGRADE" => Some("yes".to_owned()),
            "TELEPORT_TLS_ROUTING_CONN_UPGRADE_MODE" => Some("legacy".to_owned()),
            _ => None,
        });
        let web = |front: SocketAddr, time: &ManualClock| Web::new(&front.to_string(), proxies.unwrap(), time.clock());
        Self::build(door, PROXY, web, |_| Clock::system()).await
    }

    /// What the listener waits for is over when the test says so.
    pub(crate) async fn patient(door: Door) -> Self {
        Self::build(door, NAME, straight, ManualClock::clock).await
    }

    async fn build(
        door: Door,
        name: &str,
        web: impl FnOnce(SocketAddr, &ManualClock) -> Web,
        listeners: impl FnOnce(&ManualClock) -> Clock,
    ) -> Self {
        let time = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        let clock = time.clock();
        let cluster = Arc::new(ClusterKeys::new(&clock).await);
        let front = Front::start(&cluster, &clock, name).await;
        let (issued, asked, is_silent, gate) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let issuer = Issuer {
            cluster,
            web: web(front.address, &time),
            clock: clock.clone(),
            count: Arc::clone(&issued),
            asked: Arc::clone(&asked),
            is_silent: Arc::clone(&is_silent),
            gate: Arc::clone(&gate),
        };
        let listener = Listener::bind("tcp://127.0.0.1:0").await.unwrap();
        let place = listener.to_string().replace("tcp://", "");
        let stop = Stop::new();
        let ring = Arc::new(Cached::new(issuer, clock));
        let (keyring, clock) = (Arc::clone(&ring), listeners(&time));
        let local = Local { listener, door, keyring, clock, random: Random::system() };
        let serving = tokio::spawn(serve(local, stop.clone()));
        Self { front, local: place, time, issued, asked, is_silent, gate, ring, stop, serving }
    }

    /// Asks until the answer comes by this user: a renewal goes on beside those who ask.
    pub(crate) async fn ask_until(&self, user: &str) {
        for _ in 0..200 {
            if self.ask("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.contains(user) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{user} never asked");
    }

    /// The answer to one request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.local).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

/// What happens by itself, and is given a minute of the machine's time for it.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    Clock::system().timeout(Duration::from_secs(60), what).await.expect("not within a minute")
}

/// Waits until it is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    within(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

impl Front {
    async fn start(cluster: &ClusterKeys, clock: &Clock, name: &str) -> Arc<Self> {
        let (_, chain) = cluster.issue(&cluster.host, "front", &[name], clock).await;
        let trusted = TrustedClients::new(&ca::authority::trusted_certificates(&cluster.user).unwrap()).unwrap();
        let certificate = ServerCertificate::new(chain);
        // The last one tells a client that no balancer ends TLS before this.
        let alpn: &[&[u8]] = &[b"teleport-tcp", b"h2", b"http/1.1", b"teleport-reversetunnel"];
        let config = tls::server_config(certificate, ClientAuth::Optional(trusted), alpn, clock).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            breaks: AtomicUsize::new(0),
            refused: Mutex::default(),
            denied: Mutex::default(),
            undecided: AtomicUsize::new(0),
            is_silent: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        });
        let (acceptor, this) = (TlsAcceptor::from(config), Arc::clone(&front));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, this) = (acceptor.clone(), Arc::clone(&this));
                tokio::spawn(async move { this.connection(acceptor, tcp).await });
            }
        });
        front
    }

    async fn connection(self: Arc<Self>, acceptor: TlsAcceptor, tcp: TcpStream) {
        self.taken.fetch_add(1, Ordering::SeqCst);
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let Ok(mut stream) = acceptor.accept(tcp).await else { return };
        let session = stream.get_ref().1;
        if session.server_name().is_none() {
            return self.upgrades(stream).await;
        }
        assert_eq!(session.server_name(), Some(NAME));
        let shown = Certificate::from_der(&session.peer_certificates().unwrap()[0]).unwrap();
        let user = shown.common_name().unwrap_or_default().to_owned();
        if session.alpn_protocol() == Some(b"teleport-tcp") {
            if self.refused.lock().unwrap().contains(&user) {
                return;
            }
            stream.write_all(format!("hello {user}\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = split(stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
            return;
        }
        let is_h2 = session.alpn_protocol() == Some(b"h2");
        let answer = service_fn(move |request| {
            let (this, user) = (Arc::clone(&self), user.clone());
            async move { this.answer(request, &user).await }
        });
        let io = TokioIo::new(stream);
        if is_h2 {
            let executor = hyper_util::rt::TokioExecutor::new();
            let _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, answer).await;
        } else {
            let _ = http1::Builder::new().serve_connection(io, answer).with_upgrades().await;
        }
    }

    /// For those who ask by address alone: whether a balancer is here, and the way past it, in packets.
    async fn upgrades(&self, stream: TlsStream<TcpStream>) {
        let front = self.address;
        let answer = service_fn(|mut request: Request<Incoming>| {
            assert_eq!(request.uri().path(), "/webapi/connectionupgrade");
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut receive, mut send) = split(TokioIo::new(upgraded.await.unwrap()));
                let (mut read, mut write) = split(TcpStream::connect(front).await.unwrap());
                let clock = Clock::system();
                let _ = tokio::select! {
                    ended = packets::unpack(&mut receive, &mut write) => ended,
                    ended = packets::pack(&mut read, &mut send, Duration::from_secs(30), &clock) => ended,
                };
            });
            let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let answer = answer.header(header::UPGRADE, "alpn-ping").header(header::CONNECTION, "upgrade");
            std::future::ready(answer.body(Full::<Bytes>::default()))
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).with_upgrades().await;
    }

    async fn answer(&self, mut request: Request<Incoming>, user: &str) -> Result<Response<Full<Bytes>>, &'static str> {
        if self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err("broken, as asked");
        }
        let mut answer = Response::new(Full::default());
        if self.refused.lock().unwrap().iter().any(|name| name == user) {
            *answer.status_mut() = StatusCode::FOUND;
            let place = format!("https://proxy.example/web/launch/{NAME}?path=%2F");
            answer.headers_mut().insert(header::LOCATION, place.parse().unwrap());
            // The application itself cannot say this.
            if request.uri().path() != "/forged" {
                answer.headers_mut().insert("x-teleport-login", "required".parse().unwrap());
            }
            return Ok(answer);
        }
        if self.denied.lock().unwrap().iter().any(|name| name == user) {
            *answer.status_mut() = StatusCode::FORBIDDEN;
            if request.uri().path() != "/forged" {
                answer.headers_mut().insert("x-teleport-hop", "agent".parse().unwrap());
            }
            return Ok(answer);
        }
        if self.undecided.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            if request.uri().path() != "/own" {
                answer.headers_mut().insert("x-teleport-hop", "agent".parse().unwrap());
            }
            return Ok(answer);
        }
        if request.uri().path() == "/not-dialled" {
            *answer.status_mut() = StatusCode::FORBIDDEN;
            answer.headers_mut().insert("x-teleport-hop", "agent-hosts".parse().unwrap());
            return Ok(answer);
        }
        if request.headers().contains_key(header::UPGRADE) {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut here = TokioIo::new(upgraded.await.unwrap());
                let (mut one, mut other) = tokio::io::duplex(1024);
                tokio::spawn(async move {
                    let mut word = [0; 4];
                    other.read_exact(&mut word).await.unwrap();
                    other.write_all(&word.map(|byte| byte.to_ascii_uppercase())).await.unwrap();
                });
                let _ = copy_bidirectional(&mut here, &mut one).await;
            });
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer.headers_mut().insert(header::UPGRADE, "echo".parse().unwrap());
            answer.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
            return Ok(answer);
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut text = format!("{} {} {:?} by {user}\n", parts.method, parts.uri, parts.version);
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        text += &format!("body: {}\n", String::from_utf8_lossy(&body));
        *answer.body_mut() = Full::from(text);
        Ok(answer)
    }
}
