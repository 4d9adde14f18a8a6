//! What the proxy shows, and asks for, in each kind of handshake.

use std::sync::Arc;

use clock::Clock;
use crypto::tls::{ClientAuth, Error, ServerCertificate, TrustedClients, server_config};
use rustls::{ServerConfig, server::ResolvesServerCert};

use crate::{
    Identity, WebCertificate,
    router::{GRPC, H2, HTTP_1_1, JOIN, PEER, REVERSE_TUNNEL, Route, TCP, TUNNEL},
    view::Authorities,
};

/// The configurations of all handshakes that we answer.
pub(crate) struct Tls {
    host_certificate: Arc<ServerCertificate>,
    hosts: Arc<TrustedClients>,
    members: Arc<TrustedClients>,
    public: Surface,
    /// Within a connection upgrade clients trust the cluster, not the system's authorities (a balancer has the public
    /// certificate there).
    upgraded: Surface,
    tunnel: Arc<ServerConfig>,
    peer: Arc<ServerConfig>,
    grpc: Arc<ServerConfig>,
}

struct Surface {
    web: Arc<ServerConfig>,
    application: Arc<ServerConfig>,
    tcp: Arc<ServerConfig>,
    ssh: Arc<ServerConfig>,
    join: Arc<ServerConfig>,
}

impl Surface {
    fn new(certificate: &Arc<dyn ResolvesServerCert>, clock: &Clock) -> Result<Self, Error> {
        let config = |auth, alpn: &[&[u8]]| server_config(Arc::clone(certificate), auth, alpn, clock);
        Ok(Self {
            web: config(ClientAuth::None, &[H2, HTTP_1_1])?,
            // A certificate that is not good (any more) is answered with a redirect to the login page, not with an alert.
            application: config(ClientAuth::DangerUnverified, &[H2, HTTP_1_1])?,
            tcp: config(ClientAuth::DangerUnverified, &[TCP])?,
            ssh: config(ClientAuth::None, &[REVERSE_TUNNEL])?,
            // Who wants to join knows the system's authorities, not the cluster's.
            join: config(ClientAuth::None, &[JOIN])?,
        })
    }
}

impl Tls {
    pub(crate) fn new(identity: &Identity, web: &Arc<WebCertificate>, clock: &Clock) -> Result<Self, Error> {
        let host_certificate = ServerCertificate::new(identity.chain.clone());
        let hosts = TrustedClients::new(&identity.authorities)?;
        let members = TrustedClients::new(&identity.authorities)?;
        let host: Arc<dyn ResolvesServerCert> = Arc::clone(&host_certificate) as _;
        let web: Arc<dyn ResolvesServerCert> = Arc::clone(web) as _;
        let of_hosts = |alpn| server_config(Arc::clone(&host), ClientAuth::Optional(Arc::clone(&hosts)), alpn, clock);
        Ok(Self {
            public: Surface::new(&web, clock)?,
            upgraded: Surface::new(&host, clock)?,
            tunnel: of_hosts(&[TUNNEL])?,
            peer: of_hosts(&[PEER])?,
            // Without a certificate one is refused call by call, in words.
            grpc: server_config(Arc::clone(&host), ClientAuth::Optional(Arc::clone(&members)), &GRPC, clock)?,
            host_certificate,
            hosts,
            members,
        })
    }

    /// Shows another certificate from the next handshake on. Its authorities are trusted only as long as none are `known`:
    /// they were read earlier.
    pub(crate) fn replace(&self, identity: &Identity, known: &Authorities) -> Result<(), Error> {
        self.hosts.set(known.hosts_or(identity))?;
        self.host_certificate.set(identity.chain.clone());
        Ok(())
    }

    /// Trusts the hosts and users of these authorities from the next handshake on.
    pub(crate) fn trust(&self, authorities: &Authorities) -> Result<(), Error> {
        self.hosts.set(&authorities.host)?;
        self.members.set(&[authorities.host.as_slice(), &authorities.user].concat())
    }

    /// The configuration for a route that ends here.
    pub(crate) fn of(&self, route: Route, is_upgraded: bool) -> Option<&Arc<ServerConfig>> {
        let surface = if is_upgraded { &self.upgraded } else { &self.public };
        match route {
            Route::Tunnel => Some(&self.tunnel),
            Route::Peer => Some(&self.peer),
            Route::Ssh => Some(&surface.ssh),
            Route::Application => Some(&surface.application),
            Route::TcpApplication => Some(&surface.tcp),
            Route::Grpc => Some(&self.grpc),
            Route::Join => Some(&surface.join),
            Route::Web => Some(&surface.web),
            Route::Auth | Route::Acme | Route::Nobody => None,
        }
    }
}
