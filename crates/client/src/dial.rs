//! TCP and TLS: from an address to an authenticated byte stream.

use std::{io, sync::Arc, time::Duration};

use crypto::{
    tls::{self, ClientOptions},
    x509::Certificate,
};
use net::BoxIo;
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{Config, ConnectError, Proxies, SERVER_NAME, Trust, error::chain, proxies, upgrade};

/// Builds the TLS half of a client, once for each [`crate::Client`].
pub(crate) fn tls_config(config: &Config) -> Result<Arc<ClientConfig>, ConnectError> {
    let needs_tls = config.addresses.iter().any(|address| !address.starts_with(UNIX));
    let trust = match &config.trust {
        Trust::Credentials if !needs_tls => tls::Trust::Roots(Vec::new()),
        Trust::Credentials => roots(config.credentials.authorities())?,
        Trust::Authorities(authorities) => roots(authorities)?,
        Trust::Pins(pins) => tls::Trust::Pins(pins.clone()),
        Trust::DangerAnything => tls::Trust::DangerAnyServer,
    };
    let options = ClientOptions { trust, certificate: config.credentials.chain(), alpn: config.alpn() };
    tls::client_config(options, &config.clock).map_err(|error| ConnectError::Credentials { reason: chain(&error) })
}

/// The cluster's, as far as they are known.
fn authorities(config: &Config) -> &[Certificate] {
    match &config.trust {
        Trust::Authorities(authorities) => authorities,
        _ => config.credentials.authorities(),
    }
}

fn roots(authorities: &[Certificate]) -> Result<tls::Trust, ConnectError> {
    if authorities.is_empty() {
        let reason = "there is no authority to trust; give a CA pin or a CA path".to_owned();
        return Err(ConnectError::Credentials { reason });
    }
    Ok(tls::Trust::Roots(authorities.to_vec()))
}

/// Marks the address of a socket on this host, `unix:///path`: HTTP/2 without TLS, the operating system says who calls.
pub(crate) const UNIX: &str = "unix://";

/// Opens a connection to one address: to the auth service itself, through a proxy that carries our TLS unread, or past a
/// balancer that would end it.
pub(crate) async fn dial(address: &str, tls: &Arc<ClientConfig>, config: &Config) -> Result<BoxIo, ConnectError> {
    let place = host_and_port(address);
    if !address.starts_with(UNIX) && config.proxies.upgrades(&place) == Some(true) {
        // The other way needs time, too.
        let half = config.timeouts.dial / 2;
        let trust = upgrade::trust(authorities(config));
        return match upgrade::open(&place, &trust, &config.proxies, &config.clock, half).await {
            Ok(wire) => inside(address, wire, tls).await,
            // Said of all addresses, it is said of an auth service without a balancer, too.
            Err(past) => straight(address, tls, config).await.map_err(|_| ConnectError::from_io(address, &past)),
        };
    }
    let error = match straight(address, tls, config).await {
        Err(error @ (ConnectError::Untrusted { .. } | ConnectError::Refused { .. })) => error,
        settled => return settled,
    };
    // Somebody else has answered. Whether that is a balancer is asked only now: most have none.
    match upgrade::past_balancer(&place, authorities(config), &config.proxies, &config.clock).await {
        Ok(Some(wire)) => inside(address, wire, tls).await,
        Ok(None) => Err(error),
        // An auth service of another cluster looks like a balancer so far: what it said first says more.
        Err(past) => {
            tracing::debug!(address, error = %past, "there is no way past a balancer either");
            Err(error)
        }
    }
}

/// Our own TLS, inside what leads past a balancer.
async fn inside(address: &str, wire: BoxIo, tls: &Arc<ClientConfig>) -> Result<BoxIo, ConnectError> {
    match TlsConnector::from(Arc::clone(tls)).connect(server_name(), wire).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(ConnectError::from_io(address, &error)),
    }
}

async fn straight(address: &str, tls: &Arc<ClientConfig>, config: &Config) -> Result<BoxIo, ConnectError> {
    let attempt = async {
        if let Some(path) = address.strip_prefix(UNIX) {
            return Ok(Box::new(UnixStream::connect(path).await?) as BoxIo);
        }
        let mut tcp = tcp(&host_and_port(address), &config.proxies, Duration::from_secs(60)).await?;
        tcp.write_all(&config.header).await?;
        let tls = TlsConnector::from(Arc::clone(tls)).connect(server_name(), tcp).await?;
        Ok::<_, io::Error>(Box::new(tls) as BoxIo)
    };
    attempt.await.map_err(|error| ConnectError::from_io(address, &error))
}

/// How long what we have sent may stay unacknowledged, or unsent because the other side reads nothing. Without it the system
/// goes on for a quarter of an hour when the other machine has gone without a word.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Between two probes of which the first was not answered.
const PROBE_AGAIN: Duration = Duration::from_secs(10);

/// After so many probes without an answer the connection is broken.
const PROBES: u32 = 3;

/// A TCP connection to `host:port`, through the proxies on the way out of this network; for protocols of which the other side
/// always reads what is sent.
///
/// # Errors
/// Nobody answers, or a proxy refuses.
pub async fn tcp(place: &str, proxies: &Proxies, keep_alive: Duration) -> io::Result<TcpStream> {
    let tcp = patient_tcp(place, proxies, keep_alive).await?;
    SockRef::from(&tcp).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(tcp)
}

/// The same, for bytes that are somebody else's: whoever they are for may leave them unread as long as it likes.
pub(crate) async fn patient_tcp(place: &str, proxies: &Proxies, keep_alive: Duration) -> io::Result<TcpStream> {
    let tcp = match proxies.on_the_way_to(place) {
        Some(proxy) => proxies::tunnel(proxy, place).await?,
        None => TcpStream::connect(place).await?,
    };
    tcp.set_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(keep_alive).with_interval(PROBE_AGAIN).with_retries(PROBES);
    SockRef::from(&tcp).set_tcp_keepalive(&probes)?;
    Ok(tcp)
}

/// The name that the server's certificate must carry.
#[allow(clippy::expect_used, reason = "a constant that is a DNS name")]
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("a DNS name")
}

/// Official tools tolerate a scheme before the address; the default port is the auth service's.
pub(crate) fn host_and_port(address: &str) -> String {
    with_port(address, AUTH_PORT)
}

/// `host:port` of an address as people write it.
pub(crate) fn with_port(address: &str, port: u16) -> String {
    let bare = ["tcp://", "https://", "http://"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let bare = bare.unwrap_or(address).trim_end_matches('/');
    let has_port = bare
        .rsplit_once(':')
        .is_some_and(|(host, number)| number.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')));
    match (has_port, bare.contains(':') && !bare.starts_with('[')) {
        (true, _) => bare.to_owned(),
        (false, true) => format!("[{bare}]:{port}"),
        (false, false) => format!("{bare}:{port}"),
    }
}

/// Where an auth service listens unless told otherwise.
const AUTH_PORT: u16 = 3025;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_has_gone_without_a_word_is_noticed_within_seconds() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = port.local_addr().expect("an address").to_string();
        let tcp = tcp(&place, &Proxies::default(), Duration::from_secs(60)).await.expect("a connection");
        let socket = SockRef::from(&tcp);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(UNACKNOWLEDGED));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), Duration::from_secs(60));
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), PROBE_AGAIN);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), PROBES);
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (given, expect) in [
            ("auth.example:3025", "auth.example:3025"),
            ("auth.example", "auth.example:3025"),
            ("tcp://auth.example:1", "auth.example:1"),
            ("https://auth.example/", "auth.example:3025"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]:9", "[::1]:9"),
            ("::1", "[::1]:3025"),
            ("[::1]", "[::1]:3025"),
        ] {
            assert_eq!(host_and_port(given), expect, "{given}");
        }
    }
}
