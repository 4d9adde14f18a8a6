//! Connections for the auth service, carried on unread. What we add is our signed word about where the client is.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use clock::Clock;
use net::{BoxIo, ListenerOptions, gate::Crowded};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tunnel::source::Statement;

use crate::{Proxy, door::Ended, ends::Ends};

/// How long one auth service may take to accept a connection before the next one is tried.
const DIAL_WITHIN: Duration = Duration::from_secs(5);

/// Read at once, each way.
pub(crate) const BUFFER: usize = 16 * 1024;

/// How long a connection that is to end may carry nothing. One of which one side has ended is to: programs that speak TLS
/// end both together, and whoever keeps his open would keep two descriptors of ours for nothing. So are all at a stop.
const SILENT: Duration = Duration::from_secs(5);

/// How long what is not silent goes on after a stop: its owner dials anew, and finds another proxy.
const AFTER_STOP: Duration = Duration::from_secs(60);

/// Carries a connection, of which `bytes` have been read, to the auth service and back, to its end, or until some time after
/// `stop`. Whoever it is keeps his place until others need it more.
pub(crate) async fn to_auth(
    proxy: &Proxy,
    client: BoxIo,
    bytes: Vec<u8>,
    ends: Ends,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    let pass = proxy.place(&proxy.door.onward, ends.counted).await?;
    let carried = async {
        let mut auth = dial(proxy, ends).await?;
        auth.write_all(&bytes).await?;
        drop(bytes);
        both_ways(client, auth, &proxy.ports.clock, stop).await
    };
    Ok(pass.leave().run_until_cancelled(carried).await.ok_or(Crowded)??)
}

/// Carries bytes both ways until both sides have ended; once one has, or at `stop`, until both say nothing more, or until
/// some time after `stop`.
pub(crate) async fn both_ways(
    client: impl AsyncRead + AsyncWrite,
    auth: impl AsyncRead + AsyncWrite,
    clock: &Clock,
    stop: &CancellationToken,
) -> io::Result<()> {
    until_after(stop, clock, until_silent(client, auth, clock, stop)).await
}

/// Does `work`, but not for long after `stop`.
pub(crate) async fn until_after<T>(
    stop: &CancellationToken,
    clock: &Clock,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        done = work => done,
        () = async { stop.cancelled().await; clock.sleep(AFTER_STOP).await } => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn until_silent(
    client: impl AsyncRead + AsyncWrite,
    auth: impl AsyncRead + AsyncWrite,
    clock: &Clock,
    stop: &CancellationToken,
) -> io::Result<()> {
    let ((client_read, client_write), (auth_read, auth_write)) = (split(client), split(auth));
    let (moved, ending) = (AtomicU64::new(0), stop.child_token());
    let mut carried = pin!(async {
        let up = one_way(client_read, auth_write, &moved, &ending);
        tokio::try_join!(up, one_way(auth_read, client_write, &moved, &ending)).map(drop)
    });
    if let Some(ended) = ending.run_until_cancelled(carried.as_mut()).await {
        return ended;
    }
    loop {
        let before = moved.load(Ordering::Relaxed);
        if let Ok(ended) = clock.timeout(SILENT, carried.as_mut()).await {
            return ended;
        }
        if moved.load(Ordering::Relaxed) == before {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
    ending: &CancellationToken,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            ending.cancel();
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
    let (addresses, first) = (&proxy.config.auth_addresses, &proxy.auth_first);
    for _ in addresses {
        let index = first.load(Ordering::Relaxed);
        let address = &addresses[index];
        match proxy.ports.clock.timeout(DIAL_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
        tracing::warn!(address, error = %last, "the auth service cannot be reached");
        // Whoever comes next begins with another one, unless somebody has seen to that meanwhile.
        let next = (index + 1) % addresses.len();
        let _ = first.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
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

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
mod tests {
    use clock::{ManualClock, Timestamp};
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn after_a_stop_a_connection_ends_when_it_is_silent_or_a_minute_has_passed() {
        for (is_silent, expect) in [(true, SILENT), (false, AFTER_STOP)] {
            let (time, stop) = (ManualClock::new(Timestamp::UNIX_EPOCH), CancellationToken::new());
            let ((mut client, near), (far, mut auth)) = (duplex(64), duplex(64));
            let (clock, stopped) = (time.clock(), stop.clone());
            let mut carried = tokio::spawn(async move { both_ways(near, far, &clock, &stopped).await });
            let mut speak = async || {
                client.write_all(b"a call").await.unwrap();
                auth.read_exact(&mut [0; 6]).await.unwrap();
            };
            for _ in 0..3 {
                speak().await;
                time.advance(AFTER_STOP);
            }
            stop.cancel();
            let before = time.clock().monotonic();
            let ended = loop {
                tokio::select! {
                    ended = &mut carried => break ended.unwrap(),
                    // Nobody else sleeps on it: one for the silence, one for the stop.
                    () = time.parked(2) => {}
                }
                if !is_silent {
                    speak().await;
                }
                time.advance(SILENT);
            };
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(time.clock().monotonic() - before, expect);
        }
    }
}
