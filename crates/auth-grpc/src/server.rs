//! The ports: gRPC over mutual TLS for everybody, and over a Unix socket for the administrator of this machine.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use auth::{Auth, Presented, certificates::server::OwnCertificate};
use crypto::{
    tls::{ALPN_H2, ClientAuth, ServerCertificate, TrustedClients, auth_alpn, server_config},
    x509,
};
use domain::Kind;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use net::{Accepted, Acceptor, BoxIo, Limits, Listener, tls::Fixed};
use store::cache::Changed;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
};
use tokio_util::sync::CancellationToken;

use crate::{dispatch::Dispatcher, metrics::Metrics, peer::Peer, source::Proxies, table};

/// Calls at a time on one connection. Official clients open one connection and a watch or two; a benchmark some dozens.
const MAX_STREAMS: u32 = 250;

/// Calls at a time of a peer without a certificate. It asks for the CA and joins, one after the other; each call may hold
/// [`MAX_MESSAGE_OF_ANYONE`](crate::dispatch::MAX_MESSAGE_OF_ANYONE).
const MAX_STREAMS_OF_STRANGER: u32 = 16;

/// Bytes that a peer without a certificate may have on the way to calls that do not read them.
const WINDOW_OF_STRANGER: u32 = 256 * 1024;

/// Header bytes of one call: a path, a version, trace context and an MFA response are under 8 kB.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// What one connection's answers may hold in memory before the peer reads them.
const SEND_BUFFER: usize = 64 * 1024;

/// Resets that a peer may cause before we take it for an attack ("rapid reset").
const MAX_RESETS: usize = 100;

/// How often we ask a silent peer whether it is there. Clients ask every 60 s themselves; both are welcome.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(120);

/// How long the answer to that may take; a bot behind a bad line needs some.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(30);

/// How often the wall clock is looked at, which clients judge the server's own certificate by: it may be set, or stand still
/// with a machine that is paused. For so long nobody can connect after that.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The pause after a connection to the administrator's socket could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What can be set about the port.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What strangers can make us hold.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
    /// Cancelled when watches are to end, which never do so by themselves: after `stop`, once nobody in this process lives by
    /// one any more.
    pub watches: CancellationToken,
}

/// The port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The server's own certificate could not be made.
    #[error("the server's certificate cannot be made: {0}")]
    Certificate(domain::Error),
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up")]
    Tls(#[from] crypto::tls::Error),
}

/// Serves the API on a listener until `stop`; then finishes the calls that are running.
///
/// # Errors
/// When the server's certificate or the TLS configuration cannot be made.
pub async fn serve(
    auth: Arc<Auth>,
    listener: Listener,
    options: Options,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    // Decisions are made from the cache, and the authorities are in it.
    auth.cache().wait_ready().await;
    let own = auth.server_certificate().await.map_err(ServeError::Certificate)?;
    let identity = ServerCertificate::new(own.chain.clone());
    let trusted = TrustedClients::new(&auth.client_certificates().map_err(ServeError::Certificate)?)?;
    let own_alpn = auth_alpn(auth.cluster());
    let config = server_config(
        Arc::clone(&identity) as _,
        ClientAuth::Optional(Arc::clone(&trusted)),
        &[&own_alpn, ALPN_H2],
        auth.clock(),
    )?;
    let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&auth), table::rows(), options.metrics));
    let acceptor = Acceptor::new(listener, Fixed(config), options.limits, auth.clock().clone())
        .believing(Arc::new(Proxies(Arc::clone(&auth))));
    let accept = acceptor.run(stop.clone(), {
        let (stop, watches) = (stop.clone(), options.watches);
        move |accepted| connection(Arc::clone(&dispatcher), accepted, watches.clone(), stop.clone())
    });
    tokio::select! {
        () = accept => Ok(()),
        () = keep_current(&auth, own, &identity, &trusted) => Ok(()),
    }
}

/// Renews the server's own certificate, and follows the authorities that callers' certificates may come from.
async fn keep_current(auth: &Auth, mut own: OwnCertificate, identity: &ServerCertificate, trusted: &TrustedClients) {
    let mut changes = auth.cache().subscribe();
    // Outlasts the changes, some of which come more often than it ends.
    let mut look = pin!(auth.clock().sleep(LOOK_EVERY));
    loop {
        tokio::select! {
            () = &mut look => {
                look.set(auth.clock().sleep(LOOK_EVERY));
                if !own.is_due(auth.clock().now()) {
                    continue;
                }
            }
            changed = changes.recv() => match changed {
                Ok(Changed::Resource { kind, .. }) if kind != Kind::CertAuthority => continue,
                // The opened keys are forgotten by the same change; this may come first, so look at the store itself.
                _ => auth.forget_signers(),
            },
        }
        match auth.server_certificate().await {
            Ok(renewed) => {
                identity.set(renewed.chain.clone());
                own = renewed;
            }
            Err(error) => tracing::error!(%error, "the server's certificate cannot be renewed; the old one is kept"),
        }
        match auth.client_certificates() {
            Ok(authorities) => {
                if let Err(error) = trusted.set(&authorities) {
                    tracing::error!(%error, "the trusted authorities cannot be taken over; the old ones are kept");
                }
            }
            Err(error) => tracing::error!(%error, "the trusted authorities cannot be read; the old ones are kept"),
        }
    }
}

fn connection(
    dispatcher: Arc<Dispatcher>,
    accepted: Accepted,
    watches: CancellationToken,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let Accepted { stream, peer, stranger, .. } = accepted;
    let certificate = {
        let (_, tls) = stream.get_ref();
        tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| x509::Certificate::from_der(leaf))
    };
    let presented = match certificate {
        None => Some(Presented::Nothing),
        Some(Ok(certificate)) => Some(Presented::Certificate(Arc::new(certificate))),
        // The handshake has read it before; a certificate that only one of the two readers takes is none.
        Some(Err(_)) => None,
    };
    let served = presented.map(|presented| {
        let peer = Arc::new(Peer::new(presented, peer.to_string(), watches));
        http2(dispatcher, peer, stream, stop, stranger.is_some())
    });
    async move {
        if let Some(served) = served {
            served.await;
        }
        drop(stranger);
    }
}

/// Serves the API on the administrator's socket until `stop`. Only processes of the user that this server runs as are let in.
///
/// # Errors
/// None today.
pub async fn serve_unix(
    auth: Arc<Auth>,
    listener: UnixListener,
    options: Options,
    stop: CancellationToken,
) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let clock = auth.clock().clone();
    let dispatcher = Arc::new(Dispatcher::new(auth, table::rows(), options.metrics));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors, most likely: the end of this socket would be the end of the whole server.
                Err(error) => {
                    tracing::warn!(%error, "the administrator's socket cannot accept; trying again");
                    clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Ok(uid) = stream.peer_cred().map(|credentials| credentials.uid()) else { continue };
        if uid != own && uid != 0 {
            tracing::warn!(uid, "a process of another user tried the administrator's socket");
            continue;
        }
        let peer = Arc::new(Peer::new(Presented::LocalAdmin, "local", options.watches.clone()));
        connections.spawn(http2(Arc::clone(&dispatcher), peer, stream, stop.clone(), false));
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// The connection is on the heap before anything waits for it: a future keeps room for all that was ever moved through
/// it, and ten thousand idle ones keep it for nothing.
fn http2<S>(
    dispatcher: Arc<Dispatcher>,
    peer: Arc<Peer>,
    stream: S,
    stop: CancellationToken,
    is_stranger: bool,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn({
        let peer = Arc::clone(&peer);
        move |request: http::Request<Incoming>| {
            let (dispatcher, peer) = (Arc::clone(&dispatcher), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(dispatcher.call(peer, request).await) }
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS);
    if is_stranger {
        builder
            .max_concurrent_streams(MAX_STREAMS_OF_STRANGER)
            .initial_stream_window_size(WINDOW_OF_STRANGER)
            .initial_connection_window_size(WINDOW_OF_STRANGER);
    }
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(Box::new(stream) as BoxIo), service));
    async move {
        let mut is_stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(remote = peer.remote(), %error, "connection ended");
                    }
                    return;
                }
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
