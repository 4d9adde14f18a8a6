//! What a proxy is told before it starts. Everything is decided: nothing is parsed or looked up here.

use std::{fmt, time::Duration};

use net::proxy_protocol::Mode;

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The host, without brackets, lower case.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// From its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into().to_ascii_lowercase(), port }
    }

    /// As it stands in a URL: without the port that is understood.
    pub fn authority(&self) -> String {
        match self.port {
            443 if self.host.contains(':') => format!("[{}]", self.host),
            443 => self.host.clone(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a proxy is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's name.
    pub cluster: String,
    /// This host's id.
    pub host_id: String,
    /// How administrators call this host.
    pub node_name: String,
    /// How people and programs reach the web port; the first is the one that they are told. Names below these are
    /// applications.
    pub public_addresses: Vec<Address>,
    /// The web port as configured, told to clients that know no public address.
    pub listen_address: Address,
    /// Where SSH clients find a port of their own, when there is one.
    pub ssh_listen_address: Option<Address>,
    /// Where agents find a port of their own, when there is one.
    pub tunnel_listen_address: Option<Address>,
    /// `host:port` of auth services, tried in order.
    pub auth_addresses: Vec<String>,
    /// How API clients reach the SSH port, where it is another one or has other names.
    pub ssh_public_addresses: Vec<Address>,
    /// How agents and API clients reach the tunnel port, where it is another one or has other names.
    pub tunnel_public_addresses: Vec<Address>,
    /// `host:port` at which other proxies reach just this one; else they try the first public address.
    pub peer_address: Option<String>,
    /// Whether a balancer's word about its client is taken.
    pub proxy_protocol: Mode,
    /// Whether `X-Forwarded-For` is believed: only behind a balancer that sets it.
    pub trust_x_forwarded_for: bool,
    /// Where certificates of the public port are ordered, if they are.
    pub acme: Option<crate::AcmeConfig>,
    /// What strangers can make us hold.
    pub limits: Limits,
}

/// What strangers can make us hold, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time between their first byte and the end of their handshake.
    pub handshakes: usize,
    /// Connections that wait: for their first byte, or for a place to shake hands.
    pub waiting: usize,
    /// Connections at a time over which HTTP is spoken and whose clients have shown no certificate of the cluster.
    pub strangers: usize,
    /// Connections at a time that are carried to the auth service, unread: whose they are it alone learns.
    pub onward: usize,
    /// How long a connection may wait for a place.
    pub waiting_deadline: Duration,
    /// How long a handshake may take.
    pub handshake_deadline: Duration,
    /// How long a request's header may take, counted from the end of the request before it, where the client has shown
    /// no certificate.
    pub header_deadline: Duration,
    /// The same where it has shown one.
    pub idle_deadline: Duration,
    /// How long an agent may take until the header of its answer.
    pub answer_deadline: Duration,
    /// Header bytes of a request.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 512,
            waiting: 16 * 1024,
            strangers: 12 * 1024,
            onward: 12 * 1024,
            waiting_deadline: Duration::from_secs(30),
            handshake_deadline: Duration::from_secs(10),
            header_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_secs(15 * 60),
            answer_deadline: Duration::from_secs(5 * 60),
            header_bytes: 64 * 1024,
        }
    }
}
