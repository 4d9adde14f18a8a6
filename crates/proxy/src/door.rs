//! From an accepted connection to whoever serves it.

use std::{io, net::SocketAddr, sync::Arc};

use net::{
    Gate,
    gate::Crowded,
    hello::{self, First, Hello},
    proxy_protocol,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{StartHandshake, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    Proxy,
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
                Some(header) => Ends { client: header.source, local: header.destination },
                None => Ends { client: peer, local },
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
    let deadline = proxy.config.limits.handshake_deadline;
    let first = proxy.ports.clock.timeout(deadline, hello::read(&mut inner, Vec::new())).await;
    serve(&proxy, first.map_err(|_| Ended::Late)??, inner, ends, stop).await
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
            return Ok(Box::pin(ssh::serve(proxy, net::Prefixed::new(bytes, transport), ends)).await?);
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
        Route::Nobody => return Err(Ended::Unserved),
        _ => {}
    }
    let stream = handshake(proxy, *hello, transport, route, ends).await?;
    Box::pin(established(proxy, stream, route, name, ends, stop)).await
}

/// For somebody who typed `http://`.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
    Content-Length: 47\r\n\r\nThis port speaks TLS; the address is https://.\n";

async fn handshake(
    proxy: &Proxy,
    hello: Hello,
    transport: Transport,
    route: Route,
    ends: Ends,
) -> Result<TlsStream<Transport>, Ended> {
    let config = proxy.tls.of(route, transport.is_upgraded()).ok_or(Ended::Unserved)?;
    let pass = proxy.door.handshakes.enter(ends.client.ip()).await?;
    let start = StartHandshake::from_parts(hello.accepted, transport);
    let shaken = start.into_stream(Arc::clone(config));
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
        Route::Ssh => ssh::serve(proxy, stream, ends).await?,
        Route::TcpApplication => {
            let shown = Shown::of(tls);
            tcp::serve(proxy, shown, stream, ends).await?;
        }
        Route::Application | Route::Web => {
            let is_http2 = tls.alpn_protocol() == Some(H2);
            let shown = if route == Route::Application { Shown::of(tls).map(Arc::new) } else { None };
            let visit = Visit { ends, server_name, shown, stop };
            http_server::serve(proxy, stream, is_http2, visit).await?;
        }
        Route::Auth | Route::Nobody => return Err(Ended::Unserved),
    }
    Ok(())
}
