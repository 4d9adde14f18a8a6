//! SSH for API clients: `SSH-` on any of our ports, or within TLS. It is a way to the auth service and to nothing else:
//! a client that shows a certificate of the cluster opens a channel, and speaks TLS with the auth service inside.
//!
//! `packets` frames and encrypts, `kex` makes keys, `session` is both over a stream, `authenticate` says who the client is,
//! `channels` is a machine that is told messages, `pipe` makes a stream of a channel. What strangers can make us hold is
//! bounded: see the constants of each.

mod authenticate;
mod channels;
#[cfg(test)]
pub(crate) mod client;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod kex;
mod message;
mod packets;
mod pipe;
mod session;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::kex::HostKey;
use self::{
    authenticate::{Client, Judge, authenticate},
    channels::Channels,
    message::{BY_APPLICATION, KEXINIT, PROTOCOL_ERROR, disconnect},
    pipe::Stream,
    session::{Session, Setup},
};
use crate::{Proxy, door::Ended, ends::Ends, forward};

/// How long a client that has signed in may do nothing: without a channel that leads somewhere a connection is of no use.
const IDLE: Duration = Duration::from_secs(60);

/// Bytes that are queued for a client before they are sent.
const AT_ONCE: usize = 256 * 1024;

/// Serves an SSH connection to its end.
pub(crate) async fn serve<S>(proxy: &Arc<Proxy>, stream: S, ends: Ends, stop: CancellationToken) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(host) = proxy.identity.load().ssh.clone() else { return Err(Ended::Unserved) };
    let deadline = proxy.config.limits.handshake_deadline;
    let setup = Setup { host, clock: proxy.ports.clock.clone(), random: proxy.ports.random.clone(), deadline };
    let (session, client) = {
        // Before anybody has shown a certificate, an address has no more places than its share.
        let pass = proxy.place(&proxy.door.handshakes, ends.counted).await?;
        let shaken = proxy.ports.clock.timeout(deadline, Box::pin(handshake(proxy, stream, ends, setup)));
        match pass.leave().run_until_cancelled(shaken).await {
            None => return Err(net::gate::Crowded.into()),
            Some(Err(_)) => return Err(Ended::Late),
            Some(Ok(shaken)) => shaken?,
        }
    };
    tracing::debug!(client = %ends.client, user = client.key_id, "SSH client signed in");
    Box::pin(Connection::new(proxy, session, client, ends).run(stop)).await
}

async fn handshake<S>(proxy: &Proxy, stream: S, ends: Ends, setup: Setup) -> io::Result<(Session<S>, Client)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::begin(stream, setup).await?;
    let authorities = proxy.view.authorities();
    let judge = Judge {
        users: &authorities.user_ssh,
        hosts: &authorities.host_ssh,
        // A pin must not be met by what just anybody can claim.
        address: if ends.client.port() == 0 { ends.counted } else { ends.client.ip() },
        now: proxy.ports.clock.now(),
    };
    match authenticate(&mut session, &judge).await {
        Ok(client) => Ok((session, client)),
        Err(error) => {
            let _ = session.close(&disconnect(PROTOCOL_ERROR, &error.to_string())).await;
            Err(error)
        }
    }
}

/// A connection whose client has signed in.
struct Connection<'a, S> {
    proxy: &'a Arc<Proxy>,
    session: Session<S>,
    client: Client,
    ends: Ends,
    channels: Channels,
    /// Carries channels to the auth service; cut off with the connection.
    carrying: JoinSet<()>,
    moved: Arc<Notify>,
}

impl<'a, S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Connection<'a, S> {
    fn new(proxy: &'a Arc<Proxy>, session: Session<S>, client: Client, ends: Ends) -> Self {
        let moved = Arc::new(Notify::new());
        let channels = Channels::new(Arc::clone(&moved));
        Self { proxy, session, client, ends, channels, carrying: JoinSet::new(), moved }
    }

    async fn run(mut self, stop: CancellationToken) -> Result<(), Ended> {
        let clock = self.proxy.ports.clock.clone();
        let farewell = match forward::until_after(&stop, &clock, self.serve(&stop)).await {
            Ok(why) => disconnect(BY_APPLICATION, why),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let _ = self.session.close(&disconnect(PROTOCOL_ERROR, &error.to_string())).await;
                return Err(error.into());
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        Ok(self.session.close(&farewell).await?)
    }

    /// Until we end the connection, for the reason that is given back.
    async fn serve(&mut self, stop: &CancellationToken) -> io::Result<&'static str> {
        let clock = self.proxy.ports.clock.clone();
        let mut idle_since = clock.monotonic();
        loop {
            self.pump().await?;
            if self.channels.is_busy() {
                idle_since = clock.monotonic();
            } else if stop.is_cancelled() {
                return Ok("the proxy is stopping");
            }
            let idle = (idle_since + IDLE).saturating_sub(clock.monotonic());
            tokio::select! {
                payload = self.session.receive() => self.take(&payload?, stop).await?,
                () = self.moved.notified() => {}
                Some(_) = self.carrying.join_next(), if !self.carrying.is_empty() => {}
                () = stop.cancelled(), if !self.channels.is_busy() => {}
                () = clock.sleep(idle), if !self.channels.is_busy() => return Ok("nothing was asked for"),
            }
        }
    }

    /// Sends what the channels have for the client.
    async fn pump(&mut self) -> io::Result<()> {
        loop {
            let mut out = Vec::new();
            let is_more = self.channels.pump(AT_ONCE.saturating_sub(self.session.unsent()), &mut out);
            for message in &out {
                self.session.queue(message)?;
            }
            self.session.flush().await?;
            if !is_more {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, payload: &[u8], stop: &CancellationToken) -> io::Result<()> {
        if payload.first() == Some(&KEXINIT) {
            return self.session.exchange_again(payload).await;
        }
        let closed = if stop.is_cancelled() {
            Some("the proxy is stopping")
        } else if self.client.until <= self.proxy.ports.clock.now() {
            Some("the certificate has expired")
        } else {
            None
        };
        let mut out = Vec::new();
        let stream = self.channels.take(payload, closed, &mut out)?;
        for message in &out {
            self.session.queue(message)?;
        }
        if let Some(stream) = stream {
            let (proxy, ends, stop) = (Arc::clone(self.proxy), self.ends, stop.clone());
            self.carrying.spawn(async move { carry(&proxy, stream, ends, &stop).await });
        }
        Ok(())
    }
}

/// Carries a channel to the auth service and back.
async fn carry(proxy: &Proxy, channel: Stream, ends: Ends, stop: &CancellationToken) {
    let auth = match forward::dial(proxy, ends).await {
        Ok(auth) => auth,
        Err(_) => return channel.answer(Err("the auth service cannot be reached".to_owned())),
    };
    channel.answer(Ok(()));
    if let Err(error) = forward::both_ways(channel, auth, &proxy.ports.clock, stop).await {
        tracing::debug!(client = %ends.client, %error, "a channel to the auth service broke");
    }
}

/// What no client says.
fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}
