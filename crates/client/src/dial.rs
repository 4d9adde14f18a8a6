//! TCP and TLS: from an address to an authenticated byte stream.

use std::{sync::Arc, time::Duration};

use clock::{Clock, Timestamp};
use crypto::x509::Certificate;
use rustls::{
    ClientConfig, RootCertStore,
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    time_provider::TimeProvider,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Config, ConnectError, SERVER_NAME, Trust, first_connect};

/// Builds the TLS half of a client, once for each [`crate::Client`].
pub(crate) fn tls_config(config: &Config) -> Result<Arc<ClientConfig>, ConnectError> {
    let verifier: Arc<dyn ServerCertVerifier> = match &config.trust {
        Trust::Credentials => by_authorities(config.credentials.authorities())?,
        Trust::Authorities(authorities) => by_authorities(authorities)?,
        Trust::Pins(pins) => Arc::new(first_connect::PinVerifier::new(pins)?),
        Trust::DangerAnything => Arc::new(first_connect::DangerAcceptAnything::new()),
    };
    with_verifier(config, verifier)
}

/// The same with a verifier of the caller's choice.
pub(crate) fn with_verifier(
    config: &Config,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, ConnectError> {
    let unusable = |error: rustls::Error| ConnectError::Credentials { reason: error.to_string() };
    let builder = ClientConfig::builder_with_details(crypto::tls::provider(), Arc::new(OurTime(config.clock.clone())))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut tls = match config.credentials.identity() {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().map(to_der).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.expose().clone()));
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    tls.alpn_protocols = config.alpn();
    // A resumed session would survive a removed authority.
    tls.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(tls))
}

/// Opens a connection to one address.
pub(crate) async fn dial(
    address: &str,
    tls: &Arc<ClientConfig>,
    limit: Duration,
    clock: &Clock,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let attempt = async {
        let tcp = TcpStream::connect(host_and_port(address)).await?;
        tcp.set_nodelay(true)?;
        let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        socket2::SockRef::from(&tcp).set_tcp_keepalive(&keep_alive)?;
        TlsConnector::from(Arc::clone(tls)).connect(server_name(), tcp).await
    };
    match clock.timeout(limit, attempt).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ConnectError::from_io(address, &error)),
        Err(_) => Err(ConnectError::Unreachable {
            address: address.to_owned(),
            reason: format!("no answer within {} s", limit.as_secs()),
        }),
    }
}

/// The name that the server's certificate must carry.
#[allow(clippy::expect_used, reason = "a constant that is a DNS name")]
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("a DNS name")
}

/// Verifies against a list of authorities, as usual.
fn by_authorities(authorities: &[Certificate]) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let unusable = |reason: String| ConnectError::Credentials { reason };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(to_der(authority)).map_err(|error| unusable(error.to_string()))?;
    }
    rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto::tls::provider())
        .build()
        .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
        .map_err(|_| unusable("there is no authority to trust; give a CA pin or a CA path".into()))
}

pub(crate) fn to_der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.der().to_vec())
}

/// Official tools tolerate a scheme before the address; the default port is the auth service's.
fn host_and_port(address: &str) -> String {
    let bare = ["tcp://", "https://", "http://"].iter().find_map(|scheme| address.strip_prefix(scheme));
    let bare = bare.unwrap_or(address).trim_end_matches('/');
    let has_port = bare.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    });
    match (has_port, bare.contains(':') && !bare.starts_with('[')) {
        (true, _) => bare.to_owned(),
        (false, true) => format!("[{bare}]:{AUTH_PORT}"),
        (false, false) => format!("{bare}:{AUTH_PORT}"),
    }
}

/// Where an auth service listens unless told otherwise.
const AUTH_PORT: u16 = 3025;

/// Certificates are judged by the injected clock.
#[derive(Debug)]
struct OurTime(Clock);

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
