//! What a client needs to know before it dials.

use std::time::Duration;

use clock::Clock;
use crypto::{Random, x509::Certificate};

use crate::{Credentials, Proxies};

/// Everything that [`crate::Client::connect`] needs.
#[derive(Clone)]
pub struct Config {
    /// `host:port` of auth servers, tried in turn, beginning with the one that answered last.
    pub addresses: Vec<String>,
    /// Who we are, and the authorities that came with it.
    pub credentials: Credentials,
    /// What makes us believe the server.
    pub trust: Trust,
    /// The cluster's name, when known: offered as ALPN `teleport-auth@…`, so that a proxy forwards the bytes unread. The
    /// credentials know it; whoever has none asks the proxy ([`crate::Web::find`]).
    pub cluster: Option<String>,
    /// Proxies on the way out of this network.
    pub proxies: Proxies,
    /// What a connection begins with, before anything else: a PROXY header, from whoever speaks for somebody else.
    pub header: Vec<u8>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Source of time.
    pub clock: Clock,
    /// Source of jitter.
    pub random: Random,
}

impl Config {
    /// Dials `addresses` with `credentials`, trusting the authorities that these carry.
    pub fn new(
        addresses: impl IntoIterator<Item = impl Into<String>>,
        credentials: Credentials,
        clock: Clock,
        random: Random,
    ) -> Self {
        Self {
            addresses: addresses.into_iter().map(Into::into).collect(),
            cluster: credentials.cluster(),
            credentials,
            trust: Trust::Credentials,
            proxies: Proxies::default(),
            header: Vec::new(),
            timeouts: Timeouts::default(),
            clock,
            random,
        }
    }

    /// The same, with another reason to believe the server.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The same, through these proxies.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// The ALPN values that we offer, in order.
    pub(crate) fn alpn(&self) -> Vec<Vec<u8>> {
        let auth = self.cluster.as_deref().map(crypto::tls::auth_alpn);
        auth.into_iter().chain([crypto::tls::ALPN_H2.to_vec()]).collect()
    }
}

/// What makes us believe that the other end is our cluster.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The authorities in the credentials. The normal case.
    #[default]
    Credentials,
    /// These authorities.
    Authorities(Vec<Certificate>),
    /// An authority whose public key has one of these pins (`sha256:<hex>`): for the first connection of a bot.
    /// A server that shows another one is left before anything secret is sent.
    Pins(Vec<String>),
    /// Anything at all. Whoever sits on the wire reads the join token and chooses our authorities.
    DangerAnything,
}

/// How long the parts of a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// One connection attempt: TCP, TLS, HTTP/2.
    pub dial: Duration,
    /// One call, with the dialling when there is no connection.
    pub call: Duration,
    /// Between two pings on a quiet connection.
    pub keep_alive: Duration,
    /// How long an unanswered ping keeps the connection alive.
    pub keep_alive_timeout: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(15),
            call: Duration::from_secs(30),
            keep_alive: Duration::from_secs(60),
            keep_alive_timeout: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_name_is_offered_in_hex_before_h2() {
        let mut config = Config::new(["a:1"], Credentials::none(), Clock::system(), Random::seeded(1));
        assert_eq!(config.alpn(), [b"h2".to_vec()]);
        config.cluster = Some("a.b".into());
        assert_eq!(config.alpn(), [b"teleport-auth@612e62.teleport.cluster.local".to_vec(), b"h2".to_vec()]);
    }
}
