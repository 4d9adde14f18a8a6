//! An SSH connection with its keys: the first exchange, those that follow, and the packets between.

use std::{io, sync::Arc, time::Duration};

use clock::Clock;
use crypto::{Random, ssh::wire::Reader};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    invalid,
    kex::{Agreed, HostKey, Said, answer, init},
    message::{DEBUG, DISCONNECT, EXT_INFO, IGNORE, Message, NEWKEYS, UNIMPLEMENTED},
    packets::Packets,
};

/// What we say that we are. `SSH-2.0-Teleport` would let clients wrap their requests in a form that we do not read.
pub(super) const VERSION: &str = "SSH-2.0-Tessera";

/// The kinds of signature that clients may use (RFC 8308 §3.1); without it some use SHA-1.
const SIGNATURES: &str = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,\
    rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com,\
    ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";

/// New keys cost us a signature and them nothing, so they are made after this many bytes …
const NEW_KEYS_AFTER: u64 = 1 << 20;

/// … or after this long, and otherwise refused.
const NEW_KEYS_EVERY: Duration = Duration::from_secs(60);

/// What a connection needs to have keys.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) host: Arc<HostKey>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    /// How long an exchange may take.
    pub(super) deadline: Duration,
}

/// A connection with keys.
pub(super) struct Session<S> {
    packets: Packets<S>,
    setup: Setup,
    client_version: Vec<u8>,
    id: [u8; 32],
    keys_since: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// The first exchange. The caller bounds the time.
    pub(super) async fn begin(stream: S, setup: Setup) -> io::Result<Self> {
        let mut packets = Packets::new(stream, setup.clock.clone());
        let client_version = packets.exchange_versions(VERSION).await?;
        let keys_since = setup.clock.monotonic();
        let mut session = Self { packets, setup, client_version, id: [0; 32], keys_since };
        let server_init = init(&session.setup.host, &session.setup.random);
        session.packets.queue(&server_init)?;
        session.packets.flush().await?;
        let client_init = session.packets.receive().await?;
        let agreed = Agreed::new(&client_init, &session.setup.host).map_err(unlucky)?;
        session.id = session.exchange(&agreed, &client_init, &server_init, None).await?;
        if agreed.understands_ext_info {
            let info = Message::new(EXT_INFO).u32(1).string("server-sig-algs").string(SIGNATURES);
            session.packets.queue(&info.done())?;
        }
        Ok(session)
    }

    /// The name of this connection, which nobody else can have.
    pub(super) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The client asks for new keys.
    pub(super) async fn exchange_again(&mut self, client_init: &[u8]) -> io::Result<()> {
        let age = self.setup.clock.monotonic().saturating_sub(self.keys_since);
        if self.packets.carried() < NEW_KEYS_AFTER && age < NEW_KEYS_EVERY {
            return Err(invalid("new keys are asked for too often"));
        }
        let agreed = Agreed::new(client_init, &self.setup.host).map_err(unlucky)?;
        let server_init = init(&self.setup.host, &self.setup.random);
        self.packets.queue(&server_init)?;
        self.packets.flush().await?;
        let (clock, deadline, id) = (self.setup.clock.clone(), self.setup.deadline, self.id);
        let exchange = self.exchange(&agreed, client_init, &server_init, Some(id));
        clock.timeout(deadline, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(())
    }

    /// Nothing but the exchange may come between: that is what lets a stranger in the middle drop messages
    /// (CVE-2023-48795).
    async fn exchange(
        &mut self,
        agreed: &Agreed,
        client_init: &[u8],
        server_init: &[u8],
        session: Option<[u8; 32]>,
    ) -> io::Result<[u8; 32]> {
        if agreed.skips_one {
            self.packets.receive().await?;
        }
        let request = self.packets.receive().await?;
        let said =
            Said { client_version: &self.client_version, server_version: VERSION.as_bytes(), client_init, server_init };
        let (reply, keys, hash) = answer(agreed, &said, &self.setup.host, &request, session).map_err(unlucky)?;
        self.packets.queue(&reply)?;
        self.packets.queue(&[NEWKEYS])?;
        self.packets.flush().await?;
        self.packets.seal_with(keys.outgoing);
        if self.packets.receive().await? != [NEWKEYS] {
            return Err(invalid("no new keys after an exchange"));
        }
        self.packets.open_with(keys.incoming);
        self.keys_since = self.setup.clock.monotonic();
        Ok(hash)
    }

    /// The next message that is more than noise. Can be dropped while it waits.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let payload = self.packets.receive().await?;
            match payload.first() {
                Some(&(IGNORE | UNIMPLEMENTED | DEBUG)) => {}
                Some(&DISCONNECT) => {
                    let words = reason(&payload).unwrap_or_default();
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, format!("the client left: {words}")));
                }
                _ => return Ok(payload),
            }
        }
    }

    pub(super) fn queue(&mut self, payload: &[u8]) -> io::Result<()> {
        self.packets.queue(payload)
    }

    pub(super) fn unsent(&self) -> usize {
        self.packets.unsent()
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.packets.flush().await
    }

    /// Says why, and ends the connection.
    pub(super) async fn close(&mut self, farewell: &[u8]) -> io::Result<()> {
        self.packets.queue(farewell)?;
        self.packets.close().await
    }
}

fn unlucky(error: crypto::KeyError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn reason(disconnect: &[u8]) -> Option<String> {
    let mut reader = Reader::new(disconnect);
    reader.u8().ok()?;
    reader.u32().ok()?;
    Some(reader.text().ok()?.chars().take(200).filter(|c| !c.is_control()).collect())
}
