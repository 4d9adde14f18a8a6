//! A cluster whose one process is auth, proxy and agent, and somebody on the way through it.

use std::{net::SocketAddr, time::Duration};

use api::{
    r#gen::proto::{Certs, RouteToApp, UserCertsRequest},
    methods::proto::auth_service::GenerateUserCerts,
};
use bytes::Bytes;
use client::Client;
use clock::Clock;
use crypto::{
    KeyPair,
    tls::{CertificateChain, ClientOptions, Trust, client_config},
    x509::Certificate,
};
use domain::Error;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use testkit::{Cluster, Options};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::people::{self, Person};

pub(crate) const CLUSTER: &str = "test.example";

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A cluster, `alice`, who reaches all applications with `env: dev`, and her client.
pub(crate) struct Kit {
    pub(crate) cluster: Cluster,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: Client,
    pub(crate) alice: Person,
    pub(crate) client: Client,
}

/// Waits until it is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if let Some(found) = look().await {
            return found;
        }
        Clock::system().sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen in {PATIENCE:?}: {what}");
}

impl Kit {
    /// `app_service` is the section without its head, indented by two.
    pub(crate) async fn start(app_service: &str) -> Self {
        let auth_service = format!(
            "proxy_service:\n  web_listen_addr: 127.0.0.1:0\n  public_addr: proxy.localhost:0\napp_service:\n{app_service}"
        );
        Self::over(Cluster::start_with(Options { auth_service, ..Options::default() }).await).await
    }

    pub(crate) async fn over(cluster: Cluster) -> Self {
        let ready = Clock::system().timeout(Duration::from_secs(20), cluster.server().readiness().ready()).await;
        assert!(ready.is_ok(), "{:?}", cluster.server().readiness().report());
        let (proxy, admin) = (cluster.server().proxy_addr().unwrap(), cluster.admin().await);
        people::role(&admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
        let alice = people::user(&admin, "alice", &["dev"], 600).await;
        let client = cluster.client(alice.credentials()).await;
        Self { cluster, proxy, admin, alice, client }
    }

    /// A certificate of `alice` that leads to an application, once that is there.
    pub(crate) async fn routed(&self, app: &str) -> Person {
        self.routed_for(app, 600, 0).await
    }

    pub(crate) async fn routed_for(&self, app: &str, seconds: u64, target_port: u16) -> Person {
        self.routed_as(&self.client, "alice", app, (seconds, target_port)).await
    }

    pub(crate) async fn routed_as(&self, client: &Client, user: &str, app: &str, limits: (u64, u16)) -> Person {
        let key = people::key();
        let what = format!("{app} is announced");
        let certs = until(&what, async || self.certificates(client, user, app, &key, limits).await.ok());
        Person::from_certs(key.clone(), &certs.await)
    }

    /// What auth answers to a request for a certificate that leads to an application, for so many seconds and this port.
    pub(crate) async fn certificates(
        &self,
        client: &Client,
        user: &str,
        app: &str,
        key: &KeyPair,
        (seconds, target_port): (u64, u16),
    ) -> Result<Certs, Error> {
        let request = UserCertsRequest {
            username: user.to_owned(),
            tls_public_key: key.public().to_pem().into_bytes(),
            expires: Some(people::in_seconds(seconds)),
            route_to_app: Some(RouteToApp {
                name: app.to_owned(),
                public_addr: host(app),
                cluster_name: CLUSTER.to_owned(),
                target_port: target_port.into(),
                ..RouteToApp::default()
            }),
            ..UserCertsRequest::default()
        };
        client.call::<GenerateUserCerts>(request).await
    }

    /// The same, once the proxy has found the way: requests work from now on.
    pub(crate) async fn reached(&self, app: &str) -> Person {
        let person = self.routed(app).await;
        self.until_reached(app, &person).await;
        person
    }

    pub(crate) async fn until_reached(&self, app: &str, person: &Person) {
        until(&format!("{app} is reached"), async || {
            let answer = self.line(app, person).await.get("/").await;
            (!answer.0.is_server_error()).then_some(())
        })
        .await;
    }

    pub(crate) async fn tls(&self, name: &str, person: Option<&Person>, alpn: &[u8]) -> TlsStream<TcpStream> {
        tls(self.proxy, name, &self.alice.authorities, person.map(Person::chain), alpn).await.unwrap()
    }

    pub(crate) async fn line(&self, app: &str, person: &Person) -> Line {
        Line::over(self.tls(&host(app), Some(person), b"http/1.1").await, app).await
    }

    /// As somebody without a certificate.
    pub(crate) async fn stranger(&self, app: &str) -> Line {
        Line::over(self.tls(&host(app), None, b"http/1.1").await, app).await
    }

    pub(crate) async fn line2(&self, app: &str, person: &Person) -> http2::SendRequest<Body> {
        let stream = self.tls(&host(app), Some(person), b"h2").await;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// All events of a type, oldest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<Value> {
        let page = self.cluster.server().auth().store().backend().journal_read(None, 10_000).await.unwrap();
        let read = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
        read.filter(|event| event["event"] == name).collect()
    }
}

pub(crate) fn host(app: &str) -> String {
    format!("{app}.proxy.localhost")
}

/// A TLS connection to the public port.
pub(crate) async fn tls(
    proxy: SocketAddr,
    name: &str,
    authorities: &[Certificate],
    certificate: Option<CertificateChain>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let options = ClientOptions { trust: Trust::Roots(authorities.to_vec()), certificate, alpn: vec![alpn.to_vec()] };
    let config = client_config(options, &Clock::system()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, TcpStream::connect(proxy).await?).await
}

/// One connection for HTTP/1.1.
pub(crate) struct Line {
    sender: http1::SendRequest<Body>,
    host: String,
}

impl Line {
    pub(crate) async fn over(stream: TlsStream<TcpStream>, app: &str) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender, host: host(app) }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header("host", &self.host)
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub(crate) async fn ask(&mut self, path: &str) -> Response<Incoming> {
        let request = self.request("GET", path).body(empty()).unwrap();
        self.send(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let response = self.ask(path).await;
        (response.status(), text(response).await)
    }

    /// Begins an endless answer and has read the first event of it.
    pub(crate) async fn events(&mut self) -> Incoming {
        let mut events = self.ask("/events").await.into_body();
        let first = events.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "data: 0\n\n");
        events
    }
}

/// Reads until the body ends or breaks; how long that took.
pub(crate) async fn end_of(mut body: Incoming) -> Duration {
    let (clock, begun) = (Clock::system(), Clock::system().monotonic());
    let ended = clock.timeout(PATIENCE, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    assert!(ended.is_ok(), "it did not end");
    clock.monotonic() - begun
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let collected = response.into_body().collect().await;
    String::from_utf8_lossy(&collected.map(|body| body.to_bytes()).unwrap_or_default()).into_owned()
}

pub(crate) fn empty() -> Body {
    full("")
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
