//! One HTTP/2 connection, made when it is needed, made again when it is lost.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tonic::body::Body;
use tower_service::Service;

use crate::{API_VERSION, Config, ConnectError, Skew, dial, skew::SERVER_TIME};

/// How much of one answer may wait unread: a bot must stay small.
const WINDOW: u32 = 256 * 1024;

/// The connection behind a client; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    tls: Arc<ClientConfig>,
    live: tokio::sync::Mutex<Option<Live>>,
    /// The address that is dialled first.
    first: AtomicUsize,
    skew: Mutex<Option<Skew>>,
}

/// A connection that is up, and where to.
#[derive(Clone)]
struct Live {
    address: String,
    sender: http2::SendRequest<Body>,
}

impl Connection {
    pub(crate) fn new(config: Config) -> Result<Self, ConnectError> {
        if config.addresses.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let tls = dial::tls_config(&config)?;
        let (live, first, skew) = (tokio::sync::Mutex::new(None), AtomicUsize::new(0), Mutex::new(None));
        Ok(Self { shared: Arc::new(Shared { config, tls, live, first, skew }) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The last measured difference between our clock and the server's.
    pub(crate) fn skew(&self) -> Option<Skew> {
        *self.shared.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ready(&self) -> Result<(), ConnectError> {
        self.live().await.map(|_| ())
    }

    /// Drops the connection; the next call dials again.
    pub(crate) async fn close(&self) {
        *self.shared.live.lock().await = None;
    }

    async fn live(&self) -> Result<Live, ConnectError> {
        let mut slot = self.shared.live.lock().await;
        if let Some(live) = slot.as_ref().filter(|live| !live.sender.is_closed()) {
            return Ok(live.clone());
        }
        let (mut last, addresses) = (ConnectError::NoAddress, &self.shared.config.addresses);
        for _ in addresses {
            let index = self.shared.first.load(Ordering::Relaxed) % addresses.len();
            // Also for an attempt that nobody waits for any more: behind two addresses that swallow everything no call
            // would live to try the third.
            self.shared.first.store(index + 1, Ordering::Relaxed);
            match self.shared.open(&addresses[index]).await {
                Ok(live) => {
                    self.shared.first.store(index, Ordering::Relaxed);
                    return Ok(slot.insert(live).clone());
                }
                // Somebody we do not trust, or who refuses us: another address of the same cluster will not differ,
                // but another entry of the list may.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, ConnectError> {
        let mut live = self.live().await?;
        let headers = request.headers_mut();
        headers.insert("version", HeaderValue::from_static(API_VERSION));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tessera/", env!("CARGO_PKG_VERSION"))));
        match live.sender.send_request(request).await {
            Ok(response) => {
                self.observe(&response);
                Ok(response)
            }
            Err(error) => Err(ConnectError::from_io(&live.address, &error)),
        }
    }

    /// Remembers how far our clock is off, and says so when that changes.
    fn observe(&self, response: &Response<Incoming>) {
        let header = response.headers().get(SERVER_TIME).and_then(|value| value.to_str().ok());
        let Some(header) = header else { return };
        let measured = Skew::measure(header, self.shared.config.clock.now());
        let mut slot = self.shared.skew.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(skew), None) = (measured, *slot) {
            tracing::warn!(%skew, "this machine and the auth service disagree about the time");
        }
        *slot = measured;
    }
}

impl Shared {
    /// One attempt, with an end: whoever waits for a connection waits for everybody else who needs it.
    async fn open(&self, address: &str) -> Result<Live, ConnectError> {
        let limit = self.config.timeouts.dial;
        let late = |_| {
            let through = self.config.proxies.describe(address);
            let through = through.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
            let reason = format!("no answer within {} s{through}", limit.as_secs());
            ConnectError::Unreachable { address: address.to_owned(), reason }
        };
        self.config.clock.timeout(limit, self.attempt(address)).await.map_err(late)?
    }

    async fn attempt(&self, address: &str) -> Result<Live, ConnectError> {
        let timeouts = self.config.timeouts;
        let stream = dial::dial(address, &self.tls, &self.config).await?;
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(timeouts.keep_alive)
            .keep_alive_timeout(timeouts.keep_alive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(16 * 1024)
            .handshake::<_, Body>(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(|error| ConnectError::from_io(address, &error))?;
        hyper::rt::Executor::execute(&TokioExecutor::new(), async move {
            // The error reaches the calls that were under way; a quiet connection that ends is no news.
            let _ = driver.await;
        });
        Ok(Live { address: address.to_owned(), sender })
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// `:authority` is the server's name, whatever was dialled.
pub(crate) fn origin() -> Uri {
    Uri::from_static("https://teleport.cluster.local")
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use api::{r#gen::proto::PingRequest, methods::proto::auth_service::Ping};
    use clock::{Clock, ManualClock};
    use crypto::Random;
    use domain::error::Kind;
    use hyper::service::service_fn;
    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpListener, UnixListener},
    };

    use super::*;
    use crate::{Client, Credentials, Proxies, Trust};

    /// Somebody who takes connections and never says a word, and his address.
    async fn silent() -> (TcpListener, String) {
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = port.local_addr().expect("an address").to_string();
        (port, address)
    }

    fn past_a_balancer(address: &str) -> Config {
        let proxies =
            Proxies::from_variables(|name| name.ends_with("_CONN_UPGRADE").then(|| "yes".to_owned())).expect("proxies");
        Config::new([address], Credentials::none(), Clock::system(), Random::system())
            .with_trust(Trust::DangerAnything)
            .with_proxies(proxies)
    }

    #[tokio::test]
    async fn a_balancer_that_says_nothing_does_not_hold_up_those_who_wait() {
        let (_port, address) = silent().await;
        let mut config = past_a_balancer(&address);
        config.timeouts.dial = Duration::from_millis(200);
        let connection = Connection::new(config).expect("a connection");
        let waited = Clock::system().timeout(Duration::from_secs(5), connection.ready()).await;
        let error = waited.expect("an answer").expect_err("nobody speaks");
        assert!(error.kind() == Kind::Unavailable && error.to_string().contains("no answer"), "{error}");
    }

    #[tokio::test]
    async fn where_a_balancer_is_said_to_be_nothing_of_ours_is_tried_first() {
        let (port, address) = silent().await;
        let connection = Connection::new(past_a_balancer(&address)).expect("a connection");
        let first = async {
            let (mut stream, _) = port.accept().await.expect("a client");
            let mut hello = vec![0; 4096];
            let length = stream.read(&mut hello).await.expect("a hello");
            hello.truncate(length);
            hello
        };
        let hello = tokio::select! {
            hello = first => hello,
            _ = connection.ready() => panic!("nobody answered"),
        };
        let offers = |protocol: &[u8]| hello.windows(protocol.len()).any(|bytes| bytes == protocol);
        assert!(offers(b"\x08http/1.1") && !offers(b"\x02h2"), "{hello:?}");
    }

    #[tokio::test]
    async fn where_a_balancer_is_said_to_be_and_says_nothing_there_is_time_for_the_way_without_it() {
        let (port, address) = silent().await;
        let time = ManualClock::new("2026-03-01T12:00:00Z".parse().expect("a time"));
        let connection = Connection::new(Config { clock: time.clock(), ..past_a_balancer(&address) });
        let connection = connection.expect("a connection");
        let second = async {
            let (_first, _) = port.accept().await.expect("a client");
            // The first way, and all of them.
            time.parked(2).await;
            time.advance(Duration::from_secs(8));
            port.accept().await.expect("a client");
        };
        let real = Clock::system();
        tokio::select! {
            came = real.timeout(Duration::from_secs(5), second) => came.expect("in time"),
            _ = connection.ready() => panic!("nobody answered"),
        }
    }

    #[tokio::test]
    async fn an_address_behind_two_that_swallow_everything_is_reached() {
        let ((_one, one), (_two, two)) = (silent().await, silent().await);
        let dead = [one, two];
        // An abstract name: no file is left behind.
        let place = format!("\0tessera-client-addresses-{}", std::process::id());
        let listener = UnixListener::bind(&place).expect("a socket");
        let server = async {
            let (connection, _) = listener.accept().await.expect("a client");
            let refuse = service_fn(|_| async {
                let answer = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
                Ok::<_, Infallible>(answer.body(String::new()).expect("an answer"))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(connection), refuse).await;
        };
        let addresses = dead.into_iter().chain([format!("unix://{place}")]);
        let mut config = Config::new(addresses, Credentials::none(), Clock::system(), Random::system());
        config.trust = Trust::DangerAnything;
        (config.timeouts.dial, config.timeouts.call) = (Duration::from_millis(200), Duration::from_millis(300));
        let client = Client::open(config).expect("a client");
        let calls = async {
            for _ in 0..4 {
                let error = client.call::<Ping>(PingRequest {}).await.expect_err("nobody serves it");
                if error.kind != Kind::Unavailable {
                    return error;
                }
            }
            panic!("never reached");
        };
        tokio::select! {
            () = server => panic!("the server ended"),
            error = calls => assert_eq!(error.kind, Kind::Unsupported, "{error}"),
        }
    }
}
