//! From an accepted connection to whoever serves it.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use net::{
    Gate,
    gate::Crowded,
    hello::{self, First, Hello},
    proxy_protocol::{self, Mode},
};
use rustls::ServerConfig;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{StartHandshake, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    Proxy, acme,
    applications::{Visit, credential::Shown, tcp},
    forward, http_server,
    router::{H2, Route, route},
    ssh,
    transport::{Ends, Transport},
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
    #[error("no host certificate of this cluster was shown")]
    NoHost,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves one connection of the public port to its end.
pub(crate) async fn connection(
    proxy: Arc<Proxy>,
    tcp: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let local = tcp.local_addr()?;
    let looked = {
        let pass = proxy.door.silent.enter(peer.ip()).await?;
        let look = async {
            let (header, stream) = proxy_protocol::read(tcp, proxy.config.proxy_protocol).await?;
            let (bytes, mut tcp) = stream.into_parts();
            let ends = match header {
                Some(header) => Ends::claimed(&header, peer, proxy.config.proxy_protocol == Mode::On),
                None => Ends { client: peer, local, counted: peer.ip() },
            };
            Ok((hello::read(&mut tcp, bytes.into()).await?, tcp, ends))
        };
        let look = proxy.ports.clock.timeout(proxy.config.limits.handshake_deadline, Box::pin(look));
        match pass.leave().run_until_cancelled(look).await {
            None => return Err(Crowded.into()),
            Some(Err(_)) => return Err(Ended::Late),
            Some(Ok(looked)) => looked.map_err(Ended::Io)?,
        }
    };
    let (first, tcp, ends) = looked;
    serve(&proxy, first, Transport::Tcp(tcp), ends, stop).await
}

/// The same for what is inside a connection upgrade.
pub(crate) async fn upgraded(
    proxy: Arc<Proxy>,
    mut inner: Transport,
    ends: Ends,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let first = {
        let pass = proxy.door.silent.enter(ends.counted).await?;
        let deadline = proxy.config.limits.handshake_deadline;
        let look = proxy.ports.clock.timeout(deadline, hello::read(&mut inner, Vec::new()));
        pass.leave().run_until_cancelled(look).await.ok_or(Crowded)?.map_err(|_| Ended::Late)??
    };
    serve(&proxy, first, inner, ends, stop).await
}

async fn serve(
    proxy: &Arc<Proxy>,
    first: First,
    mut transport: Transport,
    ends: Ends,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let hello = match first {
        First::Tls(hello) => hello,
        First::Ssh(bytes) => {
            return Box::pin(ssh::serve(proxy, net::Prefixed::new(bytes, transport), ends, stop)).await;
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
        Route::Auth => return Ok(forward::to_auth(proxy, transport, hello.bytes, ends).await?),
        Route::Nobody => {
            tracing::debug!(name, protocols = ?Named(&hello.protocols()), "a connection for a protocol that is not served");
            transport.write_all(NO_PROTOCOL).await?;
            return Err(Ended::Unserved);
        }
        _ => {}
    }
    let config = match route {
        Route::Acme => acme::tls_alpn::config(proxy, name.as_deref().unwrap_or_default()).await,
        _ => proxy.tls.of(route, transport.is_upgraded()).map(Arc::clone),
    };
    let Some(config) = config else {
        transport.write_all(NO_PROTOCOL).await?;
        return Err(Ended::Unserved);
    };
    let mut stream = handshake(proxy, *hello, transport, config, ends).await?;
    if route == Route::Acme {
        // The certificate was the answer.
        return Ok(stream.shutdown().await?);
    }
    Box::pin(established(proxy, stream, route, name, ends, stop)).await
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
    transport: Transport,
    config: Arc<ServerConfig>,
    ends: Ends,
) -> Result<TlsStream<Transport>, Ended> {
    let pass = proxy.door.handshakes.enter(ends.counted).await?;
    let start = StartHandshake::from_parts(hello.accepted, transport);
    let shaken = start.into_stream(config);
    let shaken = proxy.ports.clock.timeout(proxy.config.limits.handshake_deadline, Box::pin(shaken));
    match pass.leave().run_until_cancelled(shaken).await {
        None => Err(Crowded.into()),
        Some(Err(_)) => Err(Ended::Late),
        Some(Ok(stream)) => Ok(stream?),
    }
}

async fn established(
    proxy: &Arc<Proxy>,
    stream: TlsStream<Transport>,
    route: Route,
    server_name: Option<String>,
    ends: Ends,
    stop: CancellationToken,
) -> Result<(), Ended> {
    let tls = stream.get_ref().1;
    let host = || Host::of(tls, &proxy.config.cluster).ok_or(Ended::NoHost);
    match route {
        Route::Tunnel => {
            let host = host()?;
            tunnels::attach(proxy, host, stream, stop).await?;
        }
        Route::Peer => {
            let host = host()?;
            tunnels::serve_peer(proxy, host, stream, stop).await?;
        }
        Route::Ssh => ssh::serve(proxy, stream, ends, stop).await?,
        Route::TcpApplication => {
            let shown = Shown::of(tls, ends.client);
            tcp::serve(proxy, shown, stream, ends).await?;
        }
        Route::Grpc => among_strangers(proxy, ends, http_server::refuse_grpc(proxy, stream, stop)).await?,
        Route::Application | Route::Web => {
            let is_http2 = tls.alpn_protocol() == Some(H2);
            let shown = if route == Route::Application { Shown::of(tls, ends.client).map(Arc::new) } else { None };
            let is_known = shown.as_ref().is_some_and(|shown| shown.is_ours(proxy));
            let is_upgraded = stream.get_ref().0.is_upgraded();
            let visit = Visit { ends, server_name, shown, is_upgraded, stop, requests: Arc::default() };
            let served = http_server::serve(proxy, stream, is_http2, visit);
            if is_known { served.await? } else { among_strangers(proxy, ends, served).await? }
        }
        Route::Auth | Route::Acme | Route::Nobody => return Err(Ended::Unserved),
    }
    Ok(())
}

/// Serves somebody who has shown no certificate of ours. He keeps his place until others need it more.
async fn among_strangers(proxy: &Proxy, ends: Ends, served: impl Future<Output = io::Result<()>>) -> Result<(), Ended> {
    let pass = proxy.door.strangers.enter(ends.counted).await?;
    Ok(pass.leave().run_until_cancelled(Box::pin(served)).await.ok_or(Crowded)??)
}
