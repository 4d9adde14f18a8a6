//! One link: HTTP/2 over a stream whose ends are known. The *opener* is the HTTP/2 client, the *server* serves streams.
//!
//! An agent dials and then serves; a proxy accepts and then opens. Between two proxies the one that dials opens.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clock::Clock;
use crypto::tls::Exported;
use h2::{Ping, PingPong, client, server};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use net::BoxIo;

use crate::{
    Stream,
    gather::{Gathered, gather},
};

/// How often each side asks whether the other is there. With [`PONG_WITHIN`] it bounds how long a half-open link is
/// believed to live.
pub const PING_EVERY: Duration = Duration::from_secs(15);

/// How long the answer may take before the link is given up.
pub const PONG_WITHIN: Duration = Duration::from_secs(10);

/// How long opening a stream may take: one round trip and the agent's attention.
pub const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Streams at a time over one link. More wait for their turn in the opener.
pub const MAX_STREAMS: u32 = 2048;

/// Unread bytes of one stream. Enough for 40 MB/s at 10 ms; a stream nobody reads holds no more than this.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Unread bytes of all streams of a link. As much as all of them together may hold: with less, a few clients that do not
/// read their answers, or a few applications that do not read what is sent to them, would stop everybody else's streams.
const LINK_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Written and not sent yet, for each stream.
const SEND_BUFFER: usize = 256 * 1024;

/// Header bytes of the request that opens a stream.
const MAX_HEADER_BYTES: u32 = 8 * 1024;

/// Room for one frame; large enough that a few large ones fill a turn.
const FRAME: u32 = 64 * 1024;

/// The connection that a link runs over.
pub struct Transport {
    /// Its bytes.
    pub io: BoxIo,
    /// Where the end that opens streams can prove within it that it holds other keys: it is the server of this TLS.
    pub exported: Option<Exported>,
}

impl Transport {
    /// A connection within which nothing is proved.
    pub fn plain(io: impl net::Io + 'static) -> Self {
        Self { io: Box::new(io), exported: None }
    }
}

const SERVICE: &str = "tessera-service";
const AGENT: &str = "tessera-agent";
const SOURCE: &str = "tessera-source";
const SHARE: &str = "tessera-share";
const PROTOCOL: &str = "tessera-protocol";
/// In the answer to a stream that was opened: that a proof at the head of one is understood.
const PROOFS: &str = "tessera-proofs";
const REASON: &str = "tessera-reason";

/// What a stream is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Which of the agent's services: `app`, `control`, …
    pub service: String,
    /// Between proxies: the host id of the agent that the stream is to be carried on to.
    pub agent: Option<String>,
    /// Between proxies: stands for the user whose share of the link to the agent it takes.
    pub share: Option<String>,
    /// Where the client is that caused it, as far as is known.
    pub source: Option<SocketAddr>,
    /// What is spoken after the opener has proved who it is ([`Stream::proof`]). Left out where no proof can be given, or
    /// none is understood: TLS comes first in a stream without it.
    pub protocol: Option<String>,
}

impl Open {
    /// A stream to a service of the agent at the other end.
    pub fn service(name: &str) -> Self {
        Self { service: name.to_owned(), ..Self::default() }
    }

    /// The request that opens the stream.
    ///
    /// # Errors
    /// A name that no header can hold.
    pub fn to_request(&self) -> Result<Request<()>, OpenError> {
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| OpenError::Refused(format!("{text:?} is no name of a service or host")))
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("https://teleport.cluster.local/open");
        request.headers_mut().insert(SERVICE, value(&self.service)?);
        if let Some(agent) = &self.agent {
            request.headers_mut().insert(AGENT, value(agent)?);
        }
        if let Some(share) = &self.share {
            request.headers_mut().insert(SHARE, value(share)?);
        }
        if let Some(source) = self.source {
            request.headers_mut().insert(SOURCE, value(&source.to_string())?);
        }
        if let Some(protocol) = &self.protocol {
            request.headers_mut().insert(PROTOCOL, value(protocol)?);
        }
        Ok(request)
    }

    /// What a request's headers say; none without a service.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Some(Self {
            service: text(SERVICE)?.to_owned(),
            agent: text(AGENT).map(str::to_owned),
            share: text(SHARE).map(str::to_owned),
            source: text(SOURCE).and_then(|source| source.parse().ok()),
            protocol: text(PROTOCOL).map(str::to_owned),
        })
    }
}

/// A stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody holds a link to this host.
    #[error("no tunnel to host {0}")]
    NotConnected(String),
    /// The link was lost, or its other end is leaving; nothing of the stream was served.
    #[error("the tunnel to host {0} was lost")]
    Lost(String),
    /// The other end did not answer in time.
    #[error("the tunnel to host {0} did not answer in time")]
    TooSlow(String),
    /// The other end does not serve it.
    #[error("refused: {0}")]
    Refused(String),
}

/// The end of a link that opens streams. Cheap to clone.
#[derive(Clone)]
pub struct Opener {
    send: client::SendRequest<Bytes>,
    exported: Option<Exported>,
    host: Arc<str>,
    state: Arc<State>,
}

/// What is known of a link.
#[derive(Default)]
struct State {
    is_closed: AtomicBool,
    /// A stream was not opened in time, and no ping has been answered since.
    is_slow: AtomicBool,
    /// The other end has said that it understands proofs. It says so at the first stream of a link, the control stream.
    takes_proofs: AtomicBool,
    /// Whether the other end is there is to be asked at once.
    doubted: Notify,
}

impl Opener {
    /// Begins a link over `transport` to `host` (its id, for errors), as the end that opens streams. The returned future is the
    /// link: it must be polled, and ends with it.
    ///
    /// # Errors
    /// The other end does not speak HTTP/2.
    pub async fn begin(
        transport: Transport,
        host: &str,
        clock: &Clock,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let Transport { io, exported } = transport;
        let (io, turns) = gather(io);
        let handshake = client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(LINK_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_BYTES)
            .max_frame_size(FRAME)
            .enable_push(false)
            .handshake::<_, Bytes>(io);
        let (send, mut connection) =
            clock.timeout(OPEN_WITHIN, handshake).await.map_err(too_slow)?.map_err(io::Error::other)?;
        let opener = Self { send, exported, host: host.into(), state: Arc::default() };
        let (state, clock, pings) = (Arc::clone(&opener.state), clock.clone(), connection.ping_pong());
        let driver = async move {
            tokio::select! {
                ended = turns.run(connection) => if let Err(error) = ended {
                    tracing::debug!(%error, "the tunnel ended");
                },
                () = keep_alive(pings, &clock, &state) => tracing::debug!("the other end of the tunnel is silent"),
            }
            state.is_closed.store(true, Ordering::Release);
        };
        Ok((opener, driver))
    }

    /// Whether the link has ended, or takes no new streams any more.
    pub fn is_closed(&self) -> bool {
        self.state.is_closed.load(Ordering::Acquire)
    }

    /// Opens a stream. After one that took too long none is tried until a ping is answered: whoever has another way is not
    /// held up by a link that is half open.
    ///
    /// # Errors
    /// See [`OpenError`]; except for `Refused`, nothing was served, and another way may be tried.
    pub async fn open(&self, open: &Open, clock: &Clock) -> Result<Stream, OpenError> {
        let proves = open.protocol.is_some() && self.state.takes_proofs.load(Ordering::Acquire);
        let exported = self.exported.clone().filter(|_| proves);
        let mut request = open.to_request()?;
        if exported.is_none() {
            request.headers_mut().remove(PROTOCOL);
        }
        if self.state.is_slow.load(Ordering::Acquire) {
            return Err(OpenError::TooSlow(self.host.to_string()));
        }
        let lost = |error: h2::Error| {
            // Streams that run may keep the link for hours, and whoever tried it again would lose each new one. That the
            // other end broke this one off says nothing of others.
            if !error.is_reset() {
                self.state.is_closed.store(true, Ordering::Release);
            }
            OpenError::Lost(self.host.to_string())
        };
        let attempt = async {
            let mut send = self.send.clone().ready().await.map_err(lost)?;
            let (response, stream) = send.send_request(request, false).map_err(lost)?;
            let response = response.await.map_err(lost)?;
            if response.status() == StatusCode::OK {
                if response.headers().contains_key(PROOFS) {
                    self.state.takes_proofs.store(true, Ordering::Release);
                }
                return Ok(Stream::new(stream, response.into_body(), exported));
            }
            let reason = response.headers().get(REASON).and_then(|reason| reason.to_str().ok());
            Err(OpenError::Refused(reason.unwrap_or("no reason given").to_owned()))
        };
        let answer = clock.timeout(OPEN_WITHIN, Box::pin(attempt)).await;
        answer.unwrap_or_else(|_| {
            self.state.is_slow.store(true, Ordering::Release);
            self.state.doubted.notify_one();
            Err(OpenError::TooSlow(self.host.to_string()))
        })
    }
}

/// Who takes the streams of a link.
#[async_trait::async_trait]
pub trait Serve: Send + Sync + 'static {
    /// Whether a stream for this is taken.
    ///
    /// # Errors
    /// Why not, for the other end to read.
    async fn admit(&self, open: &Open) -> Result<(), String>;

    /// Serves it, to its end.
    async fn serve(&self, open: Open, stream: Stream);
}

/// Serves the streams of a link over `transport`, until it ends; at `stop` no new streams are taken, and the link ends with the
/// last one.
///
/// # Errors
/// The link failed; that the other end closed it is none.
pub async fn serve(
    transport: Transport,
    serve: Arc<dyn Serve>,
    clock: &Clock,
    stop: CancellationToken,
) -> io::Result<()> {
    let Transport { io, exported } = transport;
    let (io, turns) = gather(io);
    let handshake = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LINK_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_frame_size(FRAME)
        .handshake::<_, Bytes>(io);
    let mut connection = clock.timeout(OPEN_WITHIN, handshake).await.map_err(too_slow)?.map_err(io::Error::other)?;
    let state = State::default();
    let silence = keep_alive(connection.ping_pong(), clock, &state);
    turns.run(streams(connection, exported, silence, serve, stop)).await
}

async fn streams(
    mut connection: server::Connection<Gathered, Bytes>,
    exported: Option<Exported>,
    silence: impl Future<Output = ()>,
    serve: Arc<dyn Serve>,
    stop: CancellationToken,
) -> io::Result<()> {
    tokio::pin!(silence);
    let mut streams = JoinSet::new();
    let mut is_stopping = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    streams.spawn(stream(request, respond, exported.clone(), Arc::clone(&serve)));
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(()),
            },
            () = &mut silence => return Err(io::ErrorKind::TimedOut.into()),
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.graceful_shutdown();
            }
            Some(ended) = streams.join_next(), if !streams.is_empty() => report(ended),
        }
    }
}

async fn stream(
    request: Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    exported: Option<Exported>,
    serve: Arc<dyn Serve>,
) {
    let Some(open) = Open::from_headers(request.headers()) else {
        return refuse(respond, "a stream without a service");
    };
    if let Err(reason) = serve.admit(&open).await {
        return refuse(respond, &reason);
    }
    // A failure to answer means that the link is gone, and the stream with it.
    let mut response = Response::new(());
    if exported.is_some() {
        response.headers_mut().insert(PROOFS, HeaderValue::from_static("rfc9261"));
    }
    if let Ok(send) = respond.send_response(response, false) {
        serve.serve(open, Stream::new(send, request.into_body(), exported)).await;
    }
}

fn refuse(mut respond: server::SendResponse<Bytes>, reason: &str) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::FORBIDDEN;
    if let Ok(reason) = HeaderValue::from_str(reason) {
        response.headers_mut().insert(REASON, reason);
    }
    drop(respond.send_response(response, true));
}

/// Ends when the other side has not answered a ping in time. A link that is busy answers as well as a quiet one.
async fn keep_alive(pings: Option<PingPong>, clock: &Clock, state: &State) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::select! {
            () = clock.sleep(PING_EVERY) => {}
            () = state.doubted.notified() => {}
        }
        if pings.send_ping(Ping::opaque()).is_err() {
            return;
        }
        match clock.timeout(PONG_WITHIN, poll_fn(|context| pings.poll_pong(context))).await {
            Ok(Ok(_)) => state.is_slow.store(false, Ordering::Release),
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a stream of the tunnel panicked");
    }
}

fn too_slow(_: clock::Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}
