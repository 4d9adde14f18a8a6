//! From an accepted connection to whoever serves it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use crypto::tls::Exported;
use domain::role::SystemRole;
use net::{
    BoxIo, Gate, Pass,
    gate::Crowded,
    hello::{self, First, Hello},
    proxy_protocol::{self, Mode},
};
use rustls::ServerConfig;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{StartHandshake, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tunnel::Transport;

use crate::{
    Proxy, acme,
    applications::{Visit, credential::Shown, tcp},
    ends::Ends,
    forward, grpc, http_server,
    router::{H2, Route, route},
    ssh,
    tunnels::{self, Host},
};

/// The places that connections take before anybody knows what they are.
pub(crate) struct Door {
    /// Until the first bytes are there.
    pub(crate) silent: Gate,
    /// While hands are shaken.
    pub(crate) handshakes: Gate,
    /// While HTTP is spoken with somebody whom we do not know.
    pub(crate) strangers: Gate,
    /// While bytes are carried to the auth service and back.
    pub(crate) onward: Gate,
}

/// A connection that came to nothing, or ended badly. Told to the log only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error("too slow")]
    Late,
    #[error("nobody serves this name and protocol")]
    Unserved,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a connection has become once it is known whose it is, and what for.
type Served = Pin<Box<dyn Future<Output = Result<(), Ended>> + Send>>;

/// Serves one connection of the public port to its end. In two parts on the heap, one after the other: a future keeps room
/// for all that was ever moved through it, and ten thousand idle connections would keep room for a handshake each.
pub(crate) async fn connection(
    proxy: Arc<Proxy>,
    tcp: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let admission = Box::pin(async move {
        let local = tcp.local_addr()?;
        let mode = proxy.config.proxy_protocol;
        let (first, tcp, ends) = in_time(&proxy, peer.ip(), async {
            let (header, stream) = proxy_protocol::read(tcp, mode).await?;
            let (bytes, mut tcp) = stream.into_parts();
            let ends = match header {
                Some(header) => Ends::claimed(&header, peer, mode == Mode::On),
                None => Ends { client: peer, local, counted: peer.ip(), is_upgraded: false },
            };
            Ok((hello::read(&mut tcp, bytes.into()).await?, tcp, ends))
        })
        .await?;
        admit(proxy, first, Box::new(tcp), ends, stop).await
    });
    admission.await?.await
}

/// The same for what is inside a connection upgrade.
pub(crate) async fn upgraded(
    proxy: Arc<Proxy>,
    mut inner: BoxIo,
    ends: Ends,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let admission = Box::pin(async move {
        let first = in_time(&proxy, ends.counted, hello::read(&mut inner, Vec::new())).await?;
        admit(proxy, first, inner, ends, stop).await
    });
    admission.await?.await
}

/// Waits for somebody's first bytes, while there is a place for the silent.
async fn in_time<T>(proxy: &Proxy, counted: IpAddr, look: impl Future<Output = io::Result<T>>) -> Result<T, Ended> {
    let pass = proxy.place(&proxy.door.silent, counted).await?;
    let look = proxy.ports.clock.timeout(proxy.config.limits.handshake_deadline, look);
    match pass.leave().run_until_cancelled(look).await {
        None => Err(Crowded.into()),
        Some(Err(_)) => Err(Ended::Late),
        Some(Ok(looked)) => Ok(looked?),
    }
}

async fn admit(
    proxy: Arc<Proxy>,
    first: First,
    mut transport: BoxIo,
    ends: Ends,
    stop: CancellationToken,
) -> Result<Served, Ended> {
    let hello = match first {
        First::Tls(hello) => hello,
        First::Ssh(bytes) => {
            let stream: BoxIo = Box::new(net::Prefixed::new(bytes, transport));
            return Ok(Box::pin(async move { ssh::serve(&proxy, stream, ends, stop).await }));
        }
        First::Other(bytes) => {
            if bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ") || bytes.starts_with(b"HEAD ") {
                transport.write_all(PLAIN_HTTP).await?;
            }
            return Err(Ended::Unserved);
        }
    };
    let name = hello.server_name();
    let route = route(name.as_deref(), &hello.protocols(), &proxy.auth_alpn, proxy.view.names());
    proxy.metrics.connection(route);
    match route {
        Route::Auth => {
            let bytes = hello.bytes;
            return Ok(Box::pin(async move { forward::to_auth(&proxy, transport, bytes, ends, &stop).await }));
        }
        Route::Nobody => {
            tracing::debug!(name, protocols = ?Named(&hello.protocols()), "a connection for a protocol that is not served");
            transport.write_all(NO_PROTOCOL).await?;
            return Err(Ended::Unserved);
        }
        _ => {}
    }
    let config = match route {
        Route::Acme => acme::tls_alpn::config(&proxy, name.as_deref().unwrap_or_default()).await,
        _ => proxy.tls.of(route, ends.is_upgraded).map(Arc::clone),
    };
    let Some(config) = config else {
        transport.write_all(NO_PROTOCOL).await?;
        return Err(Ended::Unserved);
    };
    let stream = handshake(&proxy, *hello, transport, config, ends).await?;
    established(proxy, stream, route, name, ends, stop)
}

/// TLS's own word for it: a fatal alert, `no_application_protocol` (RFC 7301 §3.2).
const NO_PROTOCOL: &[u8] = b"\x15\x03\x03\0\x02\x02\x78";

/// Protocols as text, for the log.
struct Named<'a>(&'a [Vec<u8>]);

impl fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|name| String::from_utf8_lossy(name))).finish()
    }
}

/// For somebody who typed `http://`.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
    Content-Length: 47\r\n\r\nThis port speaks TLS; the address is https://.\n";

async fn handshake(
    proxy: &Proxy,
    hello: Hello,
    transport: BoxIo,
    config: Arc<ServerConfig>,
    ends: Ends,
) -> Result<TlsStream<BoxIo>, Ended> {
    let pass = proxy.place(&proxy.door.handshakes, ends.counted).await?;
    let start = StartHandshake::from_parts(hello.accepted, transport);
    let shaken = start.into_stream(config);
    let shaken = proxy.ports.clock.timeout(proxy.config.limits.handshake_deadline, Box::pin(shaken));
    match pass.leave().run_until_cancelled(shaken).await {
        None => Err(Crowded.into()),
        Some(Err(_)) => Err(Ended::Late),
        Some(Ok(stream)) => Ok(stream?),
    }
}

fn established(
    proxy: Arc<Proxy>,
    stream: TlsStream<BoxIo>,
    route: Route,
    server_name: Option<String>,
    ends: Ends,
    stop: CancellationToken,
) -> Result<Served, Ended> {
    let tls = stream.get_ref().1;
    let is_http2 = tls.alpn_protocol() == Some(H2);
    let shown = || Shown::of(tls, ends.client);
    let host = |role| Host::of(tls, &proxy.config.cluster, role);
    Ok(match route {
        Route::Tunnel => {
            let (host, exported) = (host(SystemRole::App)?, Exported::of(tls));
            let transport = Transport { io: Box::new(stream), exported };
            Box::pin(async move { Ok(tunnels::attach(&proxy, host, transport, stop).await?) })
        }
        Route::Peer => {
            let (host, transport) = (host(SystemRole::Proxy)?, Transport::plain(stream));
            Box::pin(async move { Ok(tunnels::serve_peer(&proxy, host, transport, stop).await?) })
        }
        Route::Ssh => {
            let stream: BoxIo = Box::new(stream);
            Box::pin(async move { ssh::serve(&proxy, stream, ends, stop).await })
        }
        Route::TcpApplication => {
            let (shown, stream) = (shown(), Box::new(stream));
            Box::pin(async move { Ok(tcp::serve(&proxy, shown, stream, ends).await?) })
        }
        Route::Grpc | Route::Join => Box::pin(grpc::serve(proxy, stream, route, ends, stop)),
        Route::Application | Route::Web => {
            let shown = if route == Route::Application { shown().map(Arc::new) } else { None };
            let is_known = shown.as_ref().is_some_and(|shown| shown.is_ours(&proxy));
            let visit = Visit { ends, server_name, shown, is_known, stop, requests: Arc::default() };
            let served = http_server::serve(&proxy, Box::new(stream), is_http2, visit);
            match is_known {
                true => Box::pin(async move { Ok(served.await?) }),
                false => Box::pin(async move { among_strangers(&proxy, ends, served).await }),
            }
        }
        // The certificate was the answer.
        Route::Acme => Box::pin(async move { Ok({ stream }.shutdown().await?) }),
        Route::Auth | Route::Nobody => return Err(Ended::Unserved),
    })
}

/// Serves somebody who has shown no certificate of ours. He keeps his place until others need it more.
pub(crate) async fn among_strangers(
    proxy: &Proxy,
    ends: Ends,
    served: impl Future<Output = io::Result<()>>,
) -> Result<(), Ended> {
    let pass = proxy.place(&proxy.door.strangers, ends.counted).await?;
    Ok(pass.leave().run_until_cancelled(served).await.ok_or(Crowded)??)
}

impl Proxy {
    /// A place behind a gate. Who has waited too long for one has gone elsewhere, or should.
    pub(crate) async fn place(&self, gate: &Gate, counted: IpAddr) -> Result<Pass, Ended> {
        let turn = self.ports.clock.timeout(self.config.limits.waiting_deadline, gate.enter(counted));
        Ok(turn.await.map_err(|_| Ended::Late)??)
    }
}
