//! A way to an agent that serves an application. The agent is shown the session's own certificate: through our own tunnels
//! by a proof within the link, which is TLS already; through another proxy's by TLS inside, so that it cannot read along.

use std::{io, net::SocketAddr, sync::Arc};

use crypto::tls::{ClientOptions, Trust, client_config};
use domain::role::SystemRole;
use net::BoxIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use tunnel::{Open, OpenError, Stream, headers::protocol};

use super::{
    places::{Full, Held, Holder, Place},
    send::LOOK_AGAIN,
};
use crate::{Proxy, sessions::Live, tunnels::Host, view::Server};

/// Stands for the links to all other proxies: no host is called so.
const PEERS: &str = "other proxies";

/// How long it may take to show an agent the session: a handshake is two round trips through two tunnels.
const HANDSHAKE_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);

/// What a connection to an agent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests, one after another.
    Http,
    /// Requests whose trailers matter, side by side.
    Http2,
    /// Bytes.
    Tcp,
}

impl Purpose {
    /// What is spoken for it.
    fn protocol(self) -> &'static str {
        match self {
            Self::Http => protocol::HTTP_1_1,
            Self::Http2 => protocol::HTTP_2,
            Self::Tcp => protocol::TCP,
        }
    }
}

/// A connection to an agent that knows for which session it is.
pub(crate) struct Connected {
    pub(crate) io: BoxIo,
    /// What it takes of the link that carries it.
    pub(crate) place: Arc<Place>,
}

/// The TLS configurations of a session, by purpose.
pub(crate) struct AgentTls([Arc<ClientConfig>; 3]);

impl AgentTls {
    fn new(proxy: &Proxy, live: &Live) -> Result<Self, crypto::tls::Error> {
        let options = ClientOptions {
            trust: Trust::Roots(proxy.host_authorities()),
            certificate: Some(live.session.certificate.clone()),
            alpn: Vec::new(),
        };
        let config = client_config(options, &proxy.ports.clock)?;
        Ok(Self([Purpose::Http, Purpose::Http2, Purpose::Tcp].map(|purpose| {
            let mut config = ClientConfig::clone(&config);
            config.alpn_protocols = vec![purpose.protocol().into()];
            Arc::new(config)
        })))
    }
}

/// No way to an agent. What a reader needs: which hop, and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// Nobody announces the application.
    #[error("no agent serves this application now")]
    NoAgent,
    /// It carries as many streams as it may.
    #[error(transparent)]
    Full(Full),
    /// The tunnel.
    #[error("the tunnel from the proxy to the agent failed")]
    Tunnel(#[source] OpenError),
    /// The agent's TLS, or its link broke while the session was shown.
    #[error("the agent did not accept the connection")]
    Handshake(#[source] io::Error),
    /// It was there, and is no more.
    #[error("the connection to the agent broke before it had answered")]
    Broken(#[source] hyper::Error),
    /// Those that waited have ended, and so did each that was made.
    #[error("no connection to the agent took the request")]
    Unsent,
    /// It takes too long.
    #[error("the application did not answer in time")]
    Late,
    /// A defect of ours.
    #[error("the proxy cannot speak with the agent")]
    Ours(#[source] crypto::tls::Error),
}

impl NoWay {
    /// Whether another try may do better in a moment, as after a restart of the agent.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoAgent | Self::Full(_) | Self::Unsent | Self::Broken(_) => true,
            // Who refuses may be about to stop, or is another proxy that the agent has left or whose link to it is full.
            Self::Tunnel(error) => !matches!(error, OpenError::TooSlow(_)),
            // What is wrong with the agent's TLS or certificate will be the same in a moment.
            Self::Handshake(error) => error.kind() != io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// Opens a connection to an agent, for a session.
pub(crate) async fn connect(
    proxy: &Proxy,
    live: &Live,
    server: &Server,
    purpose: Purpose,
    source: SocketAddr,
) -> Result<Connected, NoWay> {
    let held = open(proxy, server, &Holder::user(&live.session.user), source, Some(purpose.protocol())).await?;
    let shown = Box::pin(show(proxy, live, server, purpose, held));
    let shown = proxy.ports.clock.timeout(HANDSHAKE_WITHIN, shown).await;
    shown.unwrap_or_else(|_| Err(NoWay::Handshake(io::ErrorKind::TimedOut.into())))
}

/// Shows the session's certificate to the agent at the other end of a stream.
async fn show(
    proxy: &Proxy,
    live: &Live,
    server: &Server,
    purpose: Purpose,
    mut held: Held<Stream>,
) -> Result<Connected, NoWay> {
    let place = Arc::clone(&held.place);
    if let Some(proof) = held.stream.proof(&live.session.certificate) {
        held.write_all(&proof.map_err(NoWay::Ours)?).await.map_err(NoWay::Handshake)?;
        return Ok(Connected { io: Box::new(held), place });
    }
    let tls = match live.tls.get() {
        Some(tls) => tls,
        None => {
            let tls = AgentTls::new(proxy, live).map_err(NoWay::Ours)?;
            live.tls.get_or_init(|| tls)
        }
    };
    let name = format!("{}.{}", server.host_id, proxy.config.cluster);
    let name = ServerName::try_from(name).map_err(|error| NoWay::Handshake(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::clone(&tls.0[purpose as usize]));
    let stream = connector.connect(name, held).await.map_err(NoWay::Handshake)?;
    Host::of(stream.get_ref().1, &proxy.config.cluster, SystemRole::App).map_err(NoWay::Handshake)?;
    Ok(Connected { io: Box::new(stream), place })
}

/// Opens a stream to an agent, and takes a place for it on the link that carries it.
pub(crate) async fn open(
    proxy: &Proxy,
    server: &Server,
    holder: &Holder,
    source: SocketAddr,
    protocol: Option<&str>,
) -> Result<Held<Stream>, NoWay> {
    let protocol = protocol.map(str::to_owned);
    let open = Open { source: Some(source), protocol, ..Open::service(tunnel::APPLICATIONS) };
    let place = |link: &Arc<str>| proxy.pool.place(&proxy.places, holder, link).map_err(NoWay::Full);
    let mut near = OpenError::NotConnected(server.host_id.to_string());
    if proxy.switchboard.is_connected(&server.host_id) {
        let place = place(&server.host_id)?;
        match proxy.switchboard.open(&server.host_id, &open).await {
            Ok(stream) => return Ok(Held { stream, place }),
            Err(refused @ OpenError::Refused(_)) => return Err(NoWay::Tunnel(refused)),
            Err(error) => near = error,
        }
    }
    // The agent may be attached to another proxy, too: by a link that is not half dead. That carries the streams to all
    // agents there.
    let place = place(&PEERS.into())?;
    let far = tokio::select! {
        far = proxy.peers.open(proxy, server, holder, open) => far,
        () = returned(proxy, &server.host_id) => return Err(NoWay::Tunnel(near)),
    };
    match far {
        Ok(stream) => Ok(Held { stream, place }),
        Err(OpenError::NotConnected(_)) => Err(NoWay::Tunnel(near)),
        Err(error) => Err(NoWay::Tunnel(error)),
    }
}

/// Waits until an agent that has no link to us has one again.
async fn returned(proxy: &Proxy, agent: &str) {
    let is_connected = || proxy.switchboard.is_connected(agent);
    if is_connected() {
        std::future::pending::<()>().await;
    }
    while !is_connected() {
        proxy.ports.clock.sleep(LOOK_AGAIN).await;
    }
}

/// The agents that serve an application, in the order in which they are tried: those attached here first, each round
/// beginning with another one.
pub(crate) fn candidates(proxy: &Proxy, app: &str) -> Vec<Arc<Server>> {
    let mut servers = proxy.view.servers_of(app);
    if servers.len() > 1 {
        let turn = proxy.turn() % servers.len();
        servers.rotate_left(turn);
        servers.sort_by_key(|server| !proxy.switchboard.is_connected(&server.host_id));
    }
    servers
}
