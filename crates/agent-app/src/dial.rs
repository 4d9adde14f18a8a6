//! The connection to an application: its name is resolved once, all its addresses are judged, and then only these are
//! dialled.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clock::Clock;
use crypto::tls::{self, ClientOptions, Trust};
use net::BoxIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Blocked, Hosts, app::App, config::Config, target::Scheme};

/// How long it may take until the application has accepted, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long one of several addresses may take.
const ADDRESS_WITHIN: Duration = Duration::from_secs(4);

/// An application could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// It is where this agent must not dial.
    #[error("{blocked}")]
    Blocked {
        /// What the host stands for.
        resolved: Vec<IpAddr>,
        /// Why not.
        blocked: Blocked,
    },
    /// The name stands for no address.
    #[error("the name {host} of the application cannot be resolved")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// Nobody accepts.
    #[error("the application at {place} does not accept connections: {source}")]
    Connect {
        /// Where it should be.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("the application at {place} does not answer")]
    TooSlow {
        /// Where it should be.
        place: String,
    },
    /// TLS failed.
    #[error("TLS with the application at {place} failed: {source}")]
    Tls {
        /// Where it is.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// Dials one application.
#[derive(Clone)]
pub(crate) struct Dialler(Arc<Inner>);

struct Inner {
    scheme: Scheme,
    host: String,
    hosts: Hosts,
    clock: Clock,
    http1: Option<Arc<ClientConfig>>,
    http2: Option<Arc<ClientConfig>>,
}

impl Dialler {
    /// For an application, under the rules of this agent.
    ///
    /// # Errors
    /// TLS cannot be set up; in practice a bad root of the machine.
    pub(crate) fn new(app: &App, config: &Config, clock: &Clock) -> Result<Self, tls::Error> {
        let target = app.target();
        let tls = |alpn: &[u8]| {
            if target.scheme != Scheme::Https {
                return Ok(None);
            }
            let trust = match app.document().spec.insecure_skip_verify {
                true => Trust::DangerAnyServer,
                false => Trust::Roots(config.roots.clone()),
            };
            let options = ClientOptions { trust, certificate: None, alpn: vec![alpn.to_vec()] };
            tls::client_config(options, clock).map(Some)
        };
        let (http1, http2) = (tls(b"http/1.1")?, tls(b"h2")?);
        let (scheme, host, hosts) = (target.scheme, target.host.clone(), config.hosts.clone());
        Ok(Self(Arc::new(Inner { scheme, host, hosts, clock: clock.clone(), http1, http2 })))
    }

    /// A connection to a port of the application; over TLS if that is how it is spoken to.
    pub(crate) async fn dial(&self, port: u16, is_http2: bool) -> Result<BoxIo, DialError> {
        let place = format!("{}:{port}", self.0.host);
        match self.0.clock.timeout(CONNECT_WITHIN, self.attempt(port, is_http2, &place)).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::TooSlow { place }),
        }
    }

    async fn attempt(&self, port: u16, is_http2: bool, place: &str) -> Result<BoxIo, DialError> {
        let stream = self.tcp(port, place).await?;
        let config = if is_http2 { &self.0.http2 } else { &self.0.http1 };
        let (Scheme::Https, Some(config)) = (self.0.scheme, config) else { return Ok(Box::new(stream)) };
        let failed = |source| DialError::Tls { place: place.to_owned(), source };
        let name = ServerName::try_from(self.0.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }

    async fn tcp(&self, port: u16, place: &str) -> Result<TcpStream, DialError> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.0.host.as_str(), port))
            .await
            .map_err(|source| DialError::Resolve { host: self.0.host.clone(), source })?
            .collect();
        let resolved: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        if let Err(blocked) = self.0.hosts.judge(&resolved) {
            return Err(DialError::Blocked { resolved, blocked });
        }
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match self.0.clock.timeout(ADDRESS_WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Fails only for a connection that is gone already; the first use says so.
                    drop(stream.set_nodelay(true));
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(match last.kind() {
            io::ErrorKind::TimedOut => DialError::TooSlow { place: place.to_owned() },
            _ => DialError::Connect { place: place.to_owned(), source: last },
        })
    }
}
