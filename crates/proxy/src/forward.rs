//! Connections for the auth service, carried on unread. What we add is our signed word about where the client is.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use clock::Clock;
use futures_util::future::{Either, select};
use net::{BoxIo, ListenerOptions, gate::Crowded};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
};
use tunnel::source::Statement;

use crate::{Proxy, door::Ended, ends::Ends};

/// How long one auth service may take to accept a connection before the next one is tried.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// Read at once, each way.
pub(crate) const BUFFER: usize = 16 * 1024;

/// How long a connection of which one side has ended may carry nothing. Programs that speak TLS end both sides together;
/// whoever keeps his open would keep two descriptors of ours for nothing.
const HALF_OPEN: Duration = Duration::from_secs(5);

/// Carries a connection, of which `bytes` have been read, to the auth service and back, to its end. Whoever it is keeps his
/// place until others need it more.
pub(crate) async fn to_auth(proxy: &Proxy, client: BoxIo, bytes: Vec<u8>, ends: Ends) -> Result<(), Ended> {
    let pass = proxy.place(&proxy.door.onward, ends.counted).await?;
    let carried = async {
        let mut auth = dial(proxy, ends).await?;
        auth.write_all(&bytes).await?;
        drop(bytes);
        both_ways(client, auth, &proxy.ports.clock).await
    };
    Ok(pass.leave().run_until_cancelled(carried).await.ok_or(Crowded)??)
}

/// Carries bytes both ways until both sides have ended, or one has and the other says nothing more.
async fn both_ways(client: BoxIo, auth: TcpStream, clock: &Clock) -> io::Result<()> {
    let (client_read, client_write) = split(client);
    let (auth_read, auth_write) = auth.into_split();
    let moved = AtomicU64::new(0);
    let up = pin!(one_way(client_read, auth_write, &moved));
    let down = pin!(one_way(auth_read, client_write, &moved));
    let mut rest = match select(up, down).await {
        Either::Left((ended, down)) => ended.map(|()| Either::Left(down))?,
        Either::Right((ended, up)) => ended.map(|()| Either::Right(up))?,
    };
    loop {
        let before = moved.load(Ordering::Relaxed);
        match clock.timeout(HALF_OPEN, &mut rest).await {
            Ok(ended) => return ended,
            Err(_) if moved.load(Ordering::Relaxed) != before => {}
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        moved.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// A connection to an auth service that has heard where the client is.
pub(crate) async fn dial(proxy: &Proxy, ends: Ends) -> io::Result<TcpStream> {
    let mut auth = connect(proxy).await?;
    auth.set_nodelay(true)?;
    ListenerOptions::default().keep_alive(&auth)?;
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
    let (identity, counted) = (proxy.identity.load(), ends.counted.to_canonical());
    let statement = Statement { source, destination, counted, cluster: &proxy.config.cluster };
    let header = statement.sign(proxy.ports.clock.now(), &identity.certificate, &identity.key);
    header.map_err(io::Error::other)?.to_v2().map_err(io::Error::other)
}
