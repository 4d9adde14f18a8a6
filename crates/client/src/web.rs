//! A proxy's web address: what it says about its cluster to anybody who asks, and TLS connections to it.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use clock::Clock;
use crypto::{tls, x509::Certificate};
use domain::{
    Error,
    error::{Kind, Reason},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, WeakShared},
};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use net::BoxIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{ConnectError, Proxies, dial, upgrade};

/// Where proxies listen unless told otherwise.
const WEB_PORT: u16 = 443;

/// What to say when nobody answers at a port that nobody has named.
const ASSUMED_PORT: &str = "; no port was given, so it is 443: write host:port if the proxy listens at another";

/// How long one question may take, with its connection.
const DEADLINE: Duration = Duration::from_secs(15);

/// Between two probes on a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// More than any answer has: a few authorities, or the description of a cluster.
const MAX_ANSWER: usize = 1024 * 1024;

/// A proxy, by its web address.
#[derive(Debug, Clone)]
pub struct Web {
    address: String,
    proxies: Proxies,
    clock: Clock,
    balancer: Arc<Balancer>,
    /// What a person can do when nobody answers there.
    advice: &'static str,
}

/// Whether a balancer ends TLS at an address.
#[derive(Debug, Default)]
struct Balancer {
    known: OnceLock<bool>,
    /// The question, while somebody waits for its answer: hundreds of connections may be wanted at once.
    asked: Mutex<Option<WeakShared<BoxFuture<'static, Option<bool>>>>>,
}

/// What a proxy says about its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// The cluster's name.
    pub cluster: String,
    /// Where the proxy is reached from outside, when it says.
    pub public_address: Option<String>,
}

impl Web {
    /// A proxy at `host:port`, as people write it.
    pub fn new(address: &str, proxies: Proxies, clock: Clock) -> Self {
        let own = Self::address_of(address);
        let advice = if own == dial::with_port(address, WEB_PORT + 1) { "" } else { ASSUMED_PORT };
        Self { address: own, proxies, clock, balancer: Arc::default(), advice }
    }

    /// The same, with what a person can do when nobody answers there: for an address that nobody has named.
    #[must_use]
    pub fn with_advice(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }

    /// `host:port` of a proxy's address as people write it; 443 is the default port.
    pub fn address_of(address: &str) -> String {
        dial::with_port(address, WEB_PORT)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Asks what the cluster is. With [`tls::Trust::DangerAnyServer`] the answer is a rumour, good enough when what is
    /// done with it verifies the cluster by itself.
    ///
    /// # Errors
    /// Unavailable when nobody answers, denied when the proxy is not trusted.
    pub async fn find(&self, trust: tls::Trust) -> Result<Find, Error> {
        let body = self.get("/webapi/find", trust).await?;
        let garbled = || Error::unavailable(format!("what answers at {} is no proxy of a cluster", self.address));
        let json: Value = serde_json::from_slice(&body).map_err(|_| garbled())?;
        let text = |path: &str| json.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let cluster = text("/cluster_name").ok_or_else(garbled)?.to_owned();
        Ok(Find { cluster, public_address: text("/proxy/ssh/public_addr").map(Self::address_of) })
    }

    /// Asks for the authorities of the cluster's servers.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn host_authorities(&self, trust: tls::Trust) -> Result<Vec<Certificate>, Error> {
        let body = self.get("/webapi/auth/export?type=tls-host", trust).await?;
        let found = Certificate::many_from_pem(&String::from_utf8_lossy(&body)).unwrap_or_default();
        if found.is_empty() {
            return Err(Error::unavailable(format!("the proxy at {} shows no authority of its cluster", self.address)));
        }
        Ok(found)
    }

    /// A TLS connection for `name`, which the proxy's certificate must carry; past a balancer that would end it, if
    /// `trust` lets the balancer pass.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn connect(
        &self,
        name: &str,
        tls: &Arc<ClientConfig>,
        trust: &tls::Trust,
    ) -> Result<TlsStream<BoxIo>, Error> {
        self.handshake(name, tls, Box::pin(self.wire(trust))).await
    }

    async fn wire(&self, trust: &tls::Trust) -> io::Result<BoxIo> {
        let is_balancer = match self.balancer.known.get().copied().or_else(|| self.proxies.upgrades(&self.address)) {
            Some(is_balancer) => is_balancer,
            None => self.is_balancer(trust).await,
        };
        if is_balancer {
            upgrade::open(&self.address, trust, &self.proxies, &self.clock, DEADLINE).await
        } else {
            Ok(Box::new(self.tcp().await?))
        }
    }

    /// Asks whether a balancer is there, or waits for the answer with those who have asked already.
    async fn is_balancer(&self, trust: &tls::Trust) -> bool {
        let answer = {
            let mut asked = self.balancer.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(|| {
                let (web, trust) = (self.clone(), trust.clone());
                let question =
                    async move { upgrade::is_balancer(&web.address, &trust, &web.proxies, &web.clock).await };
                let question = question.boxed().shared();
                *asked = question.downgrade();
                question
            })
        };
        match answer.await {
            Some(is_balancer) => *self.balancer.known.get_or_init(|| is_balancer),
            None => false,
        }
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        dial::patient_tcp(&self.address, &self.proxies, KEEP_ALIVE).await
    }

    async fn handshake(
        &self,
        name: &str,
        tls: &Arc<ClientConfig>,
        wire: impl Future<Output = io::Result<BoxIo>>,
    ) -> Result<TlsStream<BoxIo>, Error> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| Error::invalid(format!("{name:?} is no name of a server")))?;
        let attempt = async { TlsConnector::from(Arc::clone(tls)).connect(name, wire.await?).await };
        match self.clock.timeout(DEADLINE, attempt).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.explain(ConnectError::from_io(&self.address, &error))),
            Err(_) => {
                let seconds = DEADLINE.as_secs();
                Err(Error::unavailable(format!("the proxy at {} did not answer within {seconds} s", self.address)))
            }
        }
    }

    async fn get(&self, path: &str, trust: tls::Trust) -> Result<Bytes, Error> {
        let options = tls::ClientOptions { trust, certificate: None, alpn: vec![b"http/1.1".to_vec()] };
        let tls = tls::client_config(options, &self.clock).map_err(|error| Error::invalid(error.to_string()))?;
        // A balancer passes questions like this one on.
        let wire = async { Ok(Box::new(self.tcp().await?) as BoxIo) };
        let stream = self.handshake(self.host(), &tls, wire).await?;
        let broken = |error: &dyn std::error::Error| {
            Error::unavailable(format!("the proxy at {} did not answer {path}: {error}", self.address))
        };
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(Box::new(stream) as BoxIo))
                    .await
                    .map_err(|error| broken(&error))?;
            let request = Request::get(path)
                .header(header::HOST, &self.address)
                .header(header::USER_AGENT, concat!("tessera/", env!("CARGO_PKG_VERSION")))
                .body(Empty::<Bytes>::new())
                .map_err(|error| broken(&error))?;
            let answer = async {
                let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
                if answer.status() != StatusCode::OK {
                    let (address, status) = (&self.address, answer.status());
                    return Err(Error::unavailable(format!("the proxy at {address} answers {path} with {status}")));
                }
                let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
                Ok(body.map_err(|error| broken(error.as_ref()))?.to_bytes())
            };
            tokio::pin!(answer);
            tokio::select! {
                body = &mut answer => body,
                ended = connection => match ended {
                    Ok(()) => answer.await,
                    Err(error) => Err(broken(&error)),
                },
            }
        };
        self.clock.timeout(DEADLINE, exchange).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!("the proxy at {} did not answer {path} in time", self.address)))
        })
    }

    fn explain(&self, error: ConnectError) -> Error {
        let (address, advice) = (&self.address, self.advice);
        match error {
            ConnectError::Unreachable { reason, .. } => {
                Error::unavailable(format!("cannot reach the proxy at {address}: {reason}{advice}"))
            }
            ConnectError::Untrusted { reason, passes: false, .. } => {
                let message = format!(
                    "the proxy at {address} is not trusted: {reason}. Its web certificate must be for the name that is \
                     dialled, from an authority of this system (SSL_CERT_FILE names another list) or of the cluster{advice}"
                );
                Error::new(Kind::Denied, message).because(Reason::UntrustedServer)
            }
            // A proxy speaks to everybody about the web; an auth service does not.
            ConnectError::Refused { reason, .. } if reason.contains("NoApplicationProtocol") => {
                Error::unavailable(format!(
                    "what answers at {address} is no proxy: it does not speak its protocols; is it the address of an auth \
                 service?"
                ))
            }
            other => other.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_proxy_is_named_as_people_write_it() {
        for (given, address, host) in [
            ("example.com", "example.com:443", "example.com"),
            ("https://example.com:3080/", "example.com:3080", "example.com"),
            ("[::1]:3080", "[::1]:3080", "::1"),
        ] {
            let web = Web::new(given, Proxies::default(), Clock::system());
            assert_eq!((web.address(), web.host()), (address, host), "{given}");
        }
    }

    #[tokio::test]
    async fn what_a_person_can_do_is_said_when_nobody_answers() {
        let web = Web::new("127.0.0.1:1", Proxies::default(), Clock::system()).with_advice("; name the proxy");
        let error = web.find(tls::Trust::DangerAnyServer).await.unwrap_err().message;
        assert!(error.contains("127.0.0.1:1") && error.ends_with("; name the proxy"), "{error}");
        for (given, is_assumed) in [("127.0.0.1", true), ("[::1]", true), ("127.0.0.1:443", false), ("a:3080", false)] {
            let web = Web::new(given, Proxies::default(), Clock::system());
            let gone = ConnectError::Unreachable { address: given.into(), reason: "refused".into() };
            assert_eq!(web.explain(gone).message.contains("no port was given"), is_assumed, "{given}");
        }
    }

    #[tokio::test]
    async fn an_application_that_reads_nothing_for_a_while_loses_no_connection() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = port.local_addr().expect("an address").to_string();
        let web = Web::new(&place, Proxies::default(), Clock::system());
        let tcp = web.tcp().await.expect("a connection");
        let socket = socket2::SockRef::from(&tcp);
        // The system ends what is unread for so long, whether or not the other side lives; probes ask whether it does.
        assert_eq!(socket.tcp_user_timeout().expect("an option"), None);
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEP_ALIVE);
        assert!(socket.keepalive().expect("an option"));
    }

    #[tokio::test]
    async fn many_who_connect_at_once_ask_once_whether_a_balancer_is_there() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let web = Web::new(&port.local_addr().expect("an address").to_string(), Proxies::default(), Clock::system());
        // What is not known yet is asked again; an alert, "no application protocol", is what a balancer says.
        for (says, is_balancer) in [(&b""[..], false), (b"\x15\x03\x03\0\x02\x02\x78", true)] {
            let asked = || web.is_balancer(&tls::Trust::DangerAnyServer);
            let answers = futures_util::future::join_all((0..100).map(|_| asked()));
            let balancer = async {
                let (mut stream, _) = port.accept().await.expect("a question");
                let _ = stream.read(&mut [0; 4096]).await.expect("a hello");
                stream.write_all(says).await.expect("open");
            };
            let (answers, ()) = tokio::join!(answers, balancer);
            assert_eq!(answers, [is_balancer; 100]);
            assert!(port.accept().now_or_never().is_none(), "one connection for all of them");
        }
        assert_eq!(web.balancer.known.get(), Some(&true));
    }

    #[test]
    fn an_auth_service_is_no_proxy() {
        let web = Web::new("a:3025", Proxies::default(), Clock::system());
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        let error = web.explain(ConnectError::from_io("a:3025", &io::Error::other(alert)));
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.message.contains("is no proxy"), "{error}");
    }
}
