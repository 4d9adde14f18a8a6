//! Who serves a TLS connection, by the name and the protocols that its ClientHello asks for.

use crypto::tls::AUTH_SERVER_NAME;
use tunnel::headers::protocol;

use crate::names::Names;

/// An agent's link.
pub(crate) const TUNNEL: &[u8] = tunnel::ALPN;

/// A link between proxies.
pub(crate) const PEER: &[u8] = b"tessera-peer";

/// SSH within TLS, for API clients.
pub(crate) const REVERSE_TUNNEL: &[u8] = b"teleport-reversetunnel";

/// A certificate authority asks whether a name is ours (RFC 8737).
pub(crate) const ACME: &[u8] = b"acme-tls/1";

/// gRPC with a client certificate, for API clients.
pub(crate) const GRPC: [&[u8]; 2] = [b"teleport-proxy-ssh-grpc", b"teleport-proxy-grpc-mtls"];

/// gRPC without one, for those who want to join.
pub(crate) const JOIN: &[u8] = b"teleport-proxy-grpc";

/// How the names of protocols begin that mean just one thing; what else the client offers beside them is no matter.
const OF_TELEPORT: &[u8] = b"teleport-";

/// Bytes to a TCP application.
pub(crate) const TCP: &[u8] = protocol::TCP.as_bytes();

/// HTTP/2.
pub(crate) const H2: &[u8] = protocol::HTTP_2.as_bytes();

/// HTTP/1.1.
pub(crate) const HTTP_1_1: &[u8] = protocol::HTTP_1_1.as_bytes();

/// Who serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// The auth service; we carry the bytes unread.
    Auth,
    /// An agent attaches.
    Tunnel,
    /// Another proxy.
    Peer,
    /// SSH within TLS.
    Ssh,
    /// An application over HTTP.
    Application,
    /// An application over TCP.
    TcpApplication,
    /// A certificate authority that looks for our answer.
    Acme,
    /// gRPC of those who have a certificate.
    Grpc,
    /// gRPC of those who want one.
    Join,
    /// Ourselves.
    Web,
    /// Nobody.
    Nobody,
}

impl Route {
    /// The route as a word, for the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Tunnel => "tunnel",
            Self::Peer => "peer",
            Self::Ssh => "ssh",
            Self::Application => "application",
            Self::TcpApplication => "tcp application",
            Self::Acme => "acme",
            Self::Grpc => "grpc",
            Self::Join => "join",
            Self::Web => "web",
            Self::Nobody => "nobody",
        }
    }
}

/// Decides by ALPN first: it says what will be spoken. `auth_alpn` leads to the auth service of our cluster.
pub(crate) fn route(server_name: Option<&str>, protocols: &[Vec<u8>], auth_alpn: &[u8], names: &Names) -> Route {
    let offers = |name: &[u8]| protocols.iter().any(|offered| offered == name);
    let speaks_http = protocols.is_empty() || offers(H2) || offers(HTTP_1_1);
    if offers(auth_alpn) {
        Route::Auth
    } else if offers(TUNNEL) {
        Route::Tunnel
    } else if offers(PEER) {
        Route::Peer
    } else if offers(REVERSE_TUNNEL) {
        Route::Ssh
    } else if offers(TCP) {
        Route::TcpApplication
    } else if protocols.iter().any(|name| GRPC.contains(&name.as_slice())) {
        Route::Grpc
    } else if offers(JOIN) {
        Route::Join
    } else if server_name == Some(AUTH_SERVER_NAME) && offers(H2) {
        Route::Auth
    } else if protocols == [ACME] {
        Route::Acme
    } else if !speaks_http || protocols.iter().any(|name| name.starts_with(OF_TELEPORT)) {
        Route::Nobody
    } else if server_name.is_some_and(|name| names.is_application(name)) {
        Route::Application
    } else {
        Route::Web
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    #[test]
    fn a_hello_finds_who_serves_it() {
        let names = Names::new(&[Address::new("proxy.example", 443)]);
        let auth = crypto::tls::auth_alpn("c.example");
        let other = crypto::tls::auth_alpn("other.example");
        type Case<'a> = (Option<&'a str>, &'a [&'a [u8]], Route);
        let table: &[Case<'_>] = &[
            (Some("teleport.cluster.local"), &[&auth, H2], Route::Auth),
            (Some("proxy.example"), &[&auth, H2], Route::Auth),
            (Some("teleport.cluster.local"), &[H2], Route::Auth),
            (Some("teleport.cluster.local"), &[&other, H2], Route::Auth),
            (Some("proxy.example"), &[&other], Route::Nobody),
            (Some("teleport.cluster.local"), &[HTTP_1_1], Route::Web),
            (Some("teleport.cluster.local"), &[TUNNEL], Route::Tunnel),
            (Some("teleport.cluster.local"), &[PEER], Route::Peer),
            (Some("proxy.example"), &[REVERSE_TUNNEL], Route::Ssh),
            (Some("grafana.proxy.example"), &[TCP], Route::TcpApplication),
            (Some("grafana.proxy.example"), &[H2, HTTP_1_1], Route::Application),
            (Some("grafana.proxy.example"), &[], Route::Application),
            (Some("app.internal"), &[HTTP_1_1], Route::Application),
            (Some("proxy.example"), &[H2, HTTP_1_1], Route::Web),
            (Some("proxy.example"), &[], Route::Web),
            (None, &[HTTP_1_1], Route::Web),
            (None, &[], Route::Web),
            (Some("proxy.example"), &[b"teleport-postgres"], Route::Nobody),
            (Some("proxy.example"), &[b"teleport-proxy-ssh", HTTP_1_1], Route::Nobody),
            (Some("proxy.example"), &[b"teleport-proxy-ssh-grpc", H2], Route::Grpc),
            (Some("teleport.cluster.local"), &[H2, b"teleport-proxy-ssh-grpc"], Route::Grpc),
            (Some("teleport.cluster.local"), &[&auth, b"teleport-proxy-ssh-grpc", H2], Route::Auth),
            (Some("proxy.example"), &[JOIN, H2], Route::Join),
            (Some("teleport.cluster.local"), &[JOIN, H2], Route::Join),
            (Some("grafana.proxy.example"), &[ACME], Route::Acme),
            (Some("grafana.proxy.example"), &[ACME, HTTP_1_1], Route::Application),
        ];
        for (server_name, protocols, expect) in table {
            let protocols: Vec<_> = protocols.iter().map(|name| name.to_vec()).collect();
            let found = route(*server_name, &protocols, &auth, &names);
            assert_eq!(found, *expect, "{server_name:?} {protocols:?}");
        }
    }
}
