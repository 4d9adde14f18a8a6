//! A cluster whose proxy leads to two applications that remember every byte they were sent, and ways to it that no
//! client library would take.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::{
    r#gen::proto::{RouteToApp, UserCertsRequest},
    methods::proto::auth_service::GenerateUserCerts,
};
use client::Client;
use clock::Clock;
use crypto::{
    KeyPair,
    tls::{ClientOptions, Trust, client_config},
};
use rustls::pki_types::ServerName;
use serde_json::json;
use testkit::{Cluster, Options};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::people::{self, Person};

/// The proxy itself.
pub(crate) const PROXY: &str = "proxy.localhost";

/// Alice's application.
pub(crate) const ONE: &str = "one.proxy.localhost";

/// Bob's application.
pub(crate) const TWO: &str = "two.proxy.localhost";

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the first byte of an answer may take.
const FIRST_WORD: Duration = Duration::from_secs(6);

/// One request as an application got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// An application that remembers, and answers with its name and what it got.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let serving = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { drop(serving.serve(name, stream).await) });
            }
        });
        recorder
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests whose line contains this.
    pub(crate) fn with_line(&self, part: &str) -> Vec<Seen> {
        let is_meant = |seen: &Seen| seen.head.lines().next().is_some_and(|line| line.contains(part));
        self.seen().into_iter().filter(is_meant).collect()
    }

    async fn serve(&self, name: &str, stream: TcpStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(read.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            if head.starts_with("POST /early") {
                write.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nearly").await?;
                self.remember(head, Vec::new());
                sleep(PATIENCE).await;
                return Ok(());
            }
            let body = match body(&head, &mut read).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.remember(head, format!("{AMBIGUOUS}{error}").into_bytes());
                    return Err(error);
                }
                read => read?,
            };
            let answer = match head.starts_with("GET /big") {
                true => vec![b'x'; 1 << 20],
                false => format!("application {name}\n{head}").into_bytes(),
            };
            self.remember(head, body);
            let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            write.write_all(start.as_bytes()).await?;
            write.write_all(&answer).await?;
        }
    }

    fn remember(&self, head: String, body: Vec<u8>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { head, body });
    }
}

/// What is remembered as the body of a request that another server might read in another way.
pub(crate) const AMBIGUOUS: &str = "!ambiguous: ";

/// The body that a head announces.
async fn body(head: &str, read: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let value = |name: &str| {
        head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    let ambiguous = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let lengths = head.lines().filter(|line| line.starts_with("content-length:")).count();
    let length = value("content-length").map_or(Ok(0), str::parse::<usize>).map_err(|_| ambiguous("no length"))?;
    if lengths + usize::from(value("transfer-encoding").is_some()) > 1 {
        return Err(ambiguous("two lengths"));
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).await?;
    if value("transfer-encoding").is_some() {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(read.read_u8().await?);
            }
            let text = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(text.trim(), 16).map_err(|_| ambiguous("no size of a chunk"))?;
            let mut chunk = vec![0; size + 2];
            read.read_exact(&mut chunk).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Ok(body)
}

/// The cluster.
pub(crate) struct Stage {
    _cluster: Cluster,
    pub(crate) proxy: SocketAddr,
    pub(crate) one: Recorder,
    pub(crate) two: Recorder,
    /// May both, and holds a certificate for `one`.
    pub(crate) alice: Person,
    /// May both, and holds a certificate for `two`.
    pub(crate) bob: Person,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let (one, two) = (Recorder::start("one").await, Recorder::start("two").await);
        let auth_service = format!(
            "proxy_service:
  web_listen_addr: 127.0.0.1:0
  public_addr: proxy.localhost:0
app_service:
  apps:
  - {{name: one, uri: 'http://{}', labels: {{env: dev}}}}
  - {{name: two, uri: 'http://{}', labels: {{env: dev}}}}
",
            one.address, two.address
        );
        let cluster = Cluster::start_with(Options { auth_service, ..Options::default() }).await;
        let ready = Clock::system().timeout(PATIENCE, cluster.server().readiness().ready()).await;
        assert!(ready.is_ok(), "{:?}", cluster.server().readiness().report());
        let (proxy, admin) = (cluster.server().proxy_addr().unwrap(), cluster.admin().await);
        people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
        let alice = routed(&cluster, &admin, "alice", "one").await;
        let bob = routed(&cluster, &admin, "bob", "two").await;
        let stage = Self { _cluster: cluster, proxy, one, two, alice, bob };
        for (host, who) in [(ONE, &stage.alice), (TWO, &stage.bob)] {
            let since = Instant::now();
            while !stage.ask(host, Some(who), "/ready").await.starts_with("HTTP/1.1 200") {
                assert!(since.elapsed() < PATIENCE, "{host} is not reached");
                sleep(Duration::from_millis(100)).await;
            }
        }
        stage
    }

    /// TLS to the public port. `name` is what is asked for (SNI); an address asks for nothing.
    pub(crate) async fn connect(
        &self,
        name: &str,
        who: Option<&Person>,
        alpn: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        connect(self.proxy, name, who, alpn, [127, 0, 0, 1]).await
    }

    /// Sends these bytes and listens until the proxy closes, or is silent for a while.
    pub(crate) async fn send(&self, name: &str, who: Option<&Person>, bytes: &[u8]) -> String {
        let Ok(mut stream) = self.connect(name, who, b"http/1.1").await else { return "refused".to_owned() };
        let _ = stream.write_all(bytes).await;
        until_quiet(&mut stream, Duration::from_secs(1)).await
    }

    /// An ordinary request over a connection of its own, and the whole answer.
    pub(crate) async fn ask(&self, host: &str, who: Option<&Person>, path: &str) -> String {
        ask(self.proxy, host, who, path, [127, 0, 0, 1]).await
    }
}

/// A user with a certificate that leads to an application.
pub(crate) async fn routed(cluster: &Cluster, admin: &Client, name: &str, app: &str) -> Person {
    let person = people::user(admin, name, &["dev"], 3600).await;
    route(&cluster.client(person.credentials()).await, name, app).await.unwrap()
}

/// A certificate of the caller for an application.
pub(crate) async fn route(client: &Client, name: &str, app: &str) -> Result<Person, domain::Error> {
    let key: KeyPair = people::key();
    let request = UserCertsRequest {
        username: name.to_owned(),
        tls_public_key: key.public().to_pem().into_bytes(),
        expires: Some(people::in_seconds(1800)),
        route_to_app: Some(RouteToApp {
            name: app.to_owned(),
            public_addr: format!("{app}.{PROXY}"),
            cluster_name: "test.example".to_owned(),
            ..RouteToApp::default()
        }),
        ..UserCertsRequest::default()
    };
    Ok(Person::from_certs(key, &client.call::<GenerateUserCerts>(request).await?))
}

pub(crate) async fn connect(
    proxy: SocketAddr,
    name: &str,
    who: Option<&Person>,
    alpn: &[u8],
    source: [u8; 4],
) -> io::Result<TlsStream<TcpStream>> {
    let options = ClientOptions {
        trust: Trust::DangerAnyServer,
        certificate: who.map(Person::chain),
        alpn: if alpn.is_empty() { Vec::new() } else { vec![alpn.to_vec()] },
    };
    let config = client_config(options, &Clock::system()).unwrap();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(proxy).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

pub(crate) async fn ask(proxy: SocketAddr, host: &str, who: Option<&Person>, path: &str, source: [u8; 4]) -> String {
    let asked = async {
        let mut stream = connect(proxy, host, who, b"http/1.1", source).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n", proxy.port());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // A server that closes without a farewell has said everything all the same.
        let _ = stream.read_to_end(&mut answer).await;
        Ok::<_, io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => format!("no connection: {error}"),
        Err(_) => "no answer".to_owned(),
    }
}

/// All that comes until the other end closes, or is silent for so long once it has said something.
pub(crate) async fn until_quiet(stream: &mut (impl AsyncRead + Unpin), quiet: Duration) -> String {
    let (mut back, mut patience) = (Vec::new(), FIRST_WORD);
    while let Ok(Ok(1..)) = timeout(patience, stream.read_buf(&mut back)).await {
        patience = quiet;
    }
    String::from_utf8_lossy(&back).into_owned()
}

/// Somebody who minds his own business all the while, from another address.
pub(crate) struct Bystander {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(usize, Duration)>,
}

impl Bystander {
    pub(crate) fn watch(stage: &Stage) -> Self {
        let (proxy, bob) = (stage.proxy, stage.bob.clone());
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut asked, mut longest) = (0, Duration::ZERO);
            while stopped.try_recv().is_err() {
                let since = Instant::now();
                let answer = ask(proxy, TWO, Some(&bob), "/bystander", [127, 0, 0, 9]).await;
                assert!(answer.contains("application two"), "somebody else was not served: {answer}");
                longest = longest.max(since.elapsed());
                asked += 1;
                sleep(Duration::from_millis(50)).await;
            }
            (asked, longest)
        });
        Self { stop, task }
    }

    /// Every request was answered within `bound`.
    pub(crate) async fn was_served_within(self, bound: Duration, during: &str) {
        let _ = self.stop.send(());
        let (asked, longest) = self.task.await.unwrap();
        assert!(
            asked > 0 && longest < bound,
            "{during}: {asked} requests of somebody else, the longest took {longest:?}"
        );
    }
}
