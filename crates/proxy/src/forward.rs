//! Connections for the auth service, carried on unread. What we add is our signed word about where the client is.

use std::{io, net::SocketAddr, time::Duration};

use net::{
    BoxIo,
    proxy_protocol::{Header, Tlv},
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional_with_sizes},
    net::TcpStream,
};
use tunnel::source::{Statement, TLV};

use crate::{Proxy, transport::Ends};

/// How long one auth service may take to accept a connection before the next one is tried.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// Read at once, each way.
pub(crate) const BUFFER: usize = 16 * 1024;

/// Carries a connection, of which `bytes` have been read, to the auth service and back, to its end.
pub(crate) async fn to_auth(proxy: &Proxy, mut client: BoxIo, bytes: Vec<u8>, ends: Ends) -> io::Result<()> {
    let mut auth = dial(proxy, ends).await?;
    auth.write_all(&bytes).await?;
    drop(bytes);
    copy_bidirectional_with_sizes(&mut client, &mut auth, BUFFER, BUFFER).await?;
    Ok(())
}

/// A connection to an auth service that has heard where the client is.
pub(crate) async fn dial(proxy: &Proxy, ends: Ends) -> io::Result<TcpStream> {
    let mut auth = connect(proxy).await?;
    auth.set_nodelay(true)?;
    auth.write_all(&header(proxy, ends)?).await?;
    Ok(auth)
}

async fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotConnected, "no auth service is configured");
    for address in &proxy.config.auth_addresses {
        match proxy.ports.clock.timeout(DIAL_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
        tracing::warn!(address, error = %last, "the auth service cannot be reached");
    }
    Err(last)
}

/// Our signed word about where a client is: what a connection to the auth service begins with.
pub(crate) fn header(proxy: &Proxy, ends: Ends) -> io::Result<Vec<u8>> {
    // As the other end will read them: the statement holds for just these.
    let [source, destination] =
        [ends.client, ends.local].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let identity = proxy.identity.load();
    let statement = Statement { source, destination, cluster: &proxy.config.cluster };
    let value =
        statement.sign(proxy.ports.clock.now(), &identity.certificate, &identity.key).map_err(io::Error::other)?;
    Header { source, destination, tlvs: vec![Tlv { kind: TLV, value }] }.to_v2().map_err(io::Error::other)
}
