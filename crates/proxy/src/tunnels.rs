//! Agents that attach, and other proxies: connections of hosts, known by their host certificates.

use std::{io, sync::Arc};

use async_trait::async_trait;
use clock::Timestamp;
use crypto::x509::Certificate;
use domain::{identity::Identity, role::SystemRole};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio_util::sync::CancellationToken;
use tunnel::{
    Open, Stream, Switchboard,
    link::{self, Serve},
};

use crate::Proxy;

/// Read at once, each way, of a stream that is carried between proxies.
const BUFFER: usize = 32 * 1024;

/// A host that has proved who it is.
pub(crate) struct Host {
    pub(crate) id: String,
    role: SystemRole,
    not_after: Timestamp,
}

impl Host {
    /// The host at the other end; the handshake has verified its certificate against the host authorities.
    pub(crate) fn of(connection: &ServerConnection, cluster: &str) -> Option<Self> {
        let leaf = connection.peer_certificates()?.first()?;
        let certificate = Certificate::from_der(leaf).ok()?;
        let identity = Identity::from_subject(certificate.subject()).ok()?;
        let (role, id) = (identity.system_role()?, identity.host_id()?.to_owned());
        (identity.teleport_cluster == cluster).then(|| Self { id, role, not_after: certificate.not_after() })
    }
}

/// Holds an agent's link, until it ends, its certificate does, or the agent has gone elsewhere after `stop`.
pub(crate) async fn attach(
    proxy: &Proxy,
    host: Host,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    stop: CancellationToken,
) -> io::Result<()> {
    if matches!(host.role, SystemRole::Proxy | SystemRole::Auth) {
        return Err(refused(format!("a host of the role {} does not attach", host.role.as_str())));
    }
    tracing::info!(host = host.id, role = host.role.as_str(), "agent attached");
    let ended = tokio::select! {
        ended = proxy.switchboard.attach(&host.id, stream, stop) => ended,
        () = proxy.ports.clock.sleep_until(host.not_after) => Err(refused("its certificate has expired".to_owned())),
    };
    tracing::info!(host = host.id, "agent gone");
    ended
}

/// Serves the streams that another proxy opens to our agents.
pub(crate) async fn serve_peer(
    proxy: &Proxy,
    host: Host,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    stop: CancellationToken,
) -> io::Result<()> {
    if host.role != SystemRole::Proxy {
        return Err(refused(format!("a host of the role {} is no proxy", host.role.as_str())));
    }
    let serve = Arc::new(Onward { switchboard: proxy.switchboard.clone() });
    tokio::select! {
        ended = link::serve(stream, serve, &proxy.ports.clock, stop) => ended,
        () = proxy.ports.clock.sleep_until(host.not_after) => Err(refused("its certificate has expired".to_owned())),
    }
}

fn refused(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, words)
}

/// Carries a peer's streams on to our own agents, never to a third proxy.
struct Onward {
    switchboard: Switchboard,
}

#[async_trait]
impl Serve for Onward {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        match &open.agent {
            Some(agent) if self.switchboard.is_connected(agent) => Ok(()),
            Some(agent) => Err(format!("no tunnel to host {agent}")),
            None => Err("a stream to no agent".to_owned()),
        }
    }

    async fn serve(&self, open: Open, mut stream: Stream) {
        let Some(agent) = open.agent.clone() else { return };
        let opened = self.switchboard.open(&agent, &Open { agent: None, ..open }).await;
        let carried = match opened {
            Ok(mut onward) => copy_bidirectional_with_sizes(&mut stream, &mut onward, BUFFER, BUFFER).await.map(drop),
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = carried {
            tracing::debug!(%agent, %error, "a stream from another proxy broke");
        }
    }
}
