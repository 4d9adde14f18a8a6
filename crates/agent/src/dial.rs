//! Makes the connection that a link to a proxy runs over.

use std::{io, time::Duration};

use async_trait::async_trait;
use crypto::tls::{self, ClientOptions, Exported, Trust};
use net::BoxIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tunnel::{Transport, agent::Dial};

use crate::Host;

/// The name that only certificates of proxies carry: another host of the cluster cannot pose as one.
const NAME: &str = "proxy.teleport.cluster.local";

/// When the operating system asks whether a silent peer is still there; the link has its own, quicker question.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Dials with the present identity of the host.
pub(crate) struct Dialler(pub(crate) Host);

#[async_trait]
impl Dial for Dialler {
    async fn dial(&self, address: &str) -> io::Result<Transport> {
        let identity = self.0.identity();
        let options = ClientOptions {
            trust: Trust::Roots(identity.authorities().to_vec()),
            certificate: Some(identity.chain().map_err(io::Error::other)?),
            alpn: vec![tunnel::ALPN.to_vec()],
        };
        let config = tls::client_config(options, &self.0.config().clock).map_err(io::Error::other)?;
        let (out, clock) = (&self.0.config().out, &self.0.config().clock);
        let (connector, name) = (TlsConnector::from(config), ServerName::try_from(NAME).map_err(io::Error::other)?);
        let tcp: BoxIo = Box::new(client::tcp(address, out, TCP_KEEP_ALIVE).await?);
        let stream = match connector.connect(name.clone(), tcp).await {
            Ok(stream) => stream,
            // Somebody else has answered, perhaps a balancer that ends TLS.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                match client::past_balancer(address, identity.authorities(), out, clock).await {
                    Ok(Some(wire)) => connector.connect(name, wire).await?,
                    Ok(None) | Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        if stream.get_ref().1.alpn_protocol() != Some(tunnel::ALPN) {
            return Err(io::Error::other(format!("{address} does not speak the tunnel's protocol; is it a proxy?")));
        }
        Ok(Transport { exported: Exported::of(stream.get_ref().1), io: Box::new(stream) })
    }
}
