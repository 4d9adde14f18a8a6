//! The other side, for tests: as much of an SSH client as it takes.

use std::{collections::VecDeque, io};

use clock::Clock;
use crypto::{
    KeyPair, Scheme, SecretBytes,
    hash::sha256_parts,
    ssh::{
        self, Certificate,
        exchange::{Curve, Ephemeral},
        packet::Cipher,
        wire::{Reader, Writer},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    channels::{AUTH, DIAL, TRANSPORT},
    invalid,
    kex::derive,
    message::{
        CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
        CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_WINDOW_ADJUST,
        EXT_INFO, GLOBAL_REQUEST, KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, Message, NEWKEYS, SERVICE_ACCEPT,
        SERVICE_REQUEST, USERAUTH_FAILURE, USERAUTH_PK_OK, USERAUTH_REQUEST, USERAUTH_SUCCESS,
    },
    packets::Packets,
    session::VERSION,
};

const OWN_VERSION: &str = "SSH-2.0-Test";

/// What the test gives the server to send ahead.
const WINDOW: u32 = 100_000;

pub(crate) struct Client<S> {
    packets: Packets<S>,
    id: Option<[u8; 32]>,
    /// What the server has shown.
    pub(crate) host: Option<Certificate>,
    window: usize,
    /// Came before the new keys that were asked for.
    stashed: VecDeque<Vec<u8>>,
}

/// What comes back on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Data(Vec<u8>),
    Stderr(Vec<u8>),
    Success,
    Failure,
    Ended,
    Closed,
    Opened(u32),
    Refused(String),
}

fn offer() -> Vec<u8> {
    let algorithms = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
    let cipher = "aes128-gcm@openssh.com";
    let lists = ["curve25519-sha256,ext-info-c", algorithms, cipher, cipher, "", "", "none", "none", "", ""];
    lists.into_iter().fold(Message::new(KEXINIT).raw(&[0; 16]), Message::string).bool(false).u32(0).done()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn begin(stream: S) -> io::Result<Self> {
        let packets = Packets::new(stream, Clock::system());
        let mut client = Self { packets, id: None, host: None, window: 0, stashed: VecDeque::new() };
        assert_eq!(client.packets.exchange_versions(OWN_VERSION).await?, VERSION.as_bytes());
        let server_init = client.packets.receive().await?;
        client.send(&offer()).await?;
        client.exchange(&server_init).await?;
        assert_eq!(client.packets.receive().await?[0], EXT_INFO);
        Ok(client)
    }

    /// Asks for new keys.
    pub(crate) async fn exchange_again(&mut self) -> io::Result<()> {
        self.send(&offer()).await?;
        let server_init = loop {
            match self.packets.receive().await? {
                payload if payload[0] == KEXINIT => break payload,
                payload => self.stashed.push_back(payload),
            }
        };
        self.exchange(&server_init).await
    }

    async fn exchange(&mut self, server_init: &[u8]) -> io::Result<()> {
        let key = Ephemeral::generate(Curve::X25519).map_err(io::Error::other)?;
        let own = key.public().to_vec();
        self.send(&Message::new(KEX_ECDH_INIT).string(&own).done()).await?;
        let reply = self.packets.receive().await?;
        let mut reader = Reader::new(&reply);
        assert_eq!(reader.u8().ok(), Some(KEX_ECDH_REPLY), "{reply:?}");
        let [blob, peer, signature] = [(); 3].map(|()| reader.string().unwrap());
        let host = Certificate::from_wire(blob).unwrap();
        let mut secret = Writer::default();
        secret.mpint(key.agree(peer).unwrap().expose());
        let secret = SecretBytes::new(secret.into_bytes());
        let mut said = Writer::default();
        for part in [OWN_VERSION.as_bytes(), VERSION.as_bytes(), &offer(), server_init, blob, &own, peer] {
            said.string(part);
        }
        let hash = sha256_parts(&[&said.into_bytes(), secret.expose()]);
        host.verify().unwrap();
        ssh::verify_blob(host.public_key(), &hash, signature).unwrap();
        self.host = Some(host);
        let id = *self.id.get_or_insert(hash);
        let keys = derive(&secret, &hash, &id, [Cipher::Aes128Gcm; 2]).unwrap();
        self.send(&[NEWKEYS]).await?;
        self.packets.seal_with(keys.incoming);
        assert_eq!(self.packets.receive().await?, [NEWKEYS]);
        self.packets.open_with(keys.outgoing);
        Ok(())
    }

    pub(crate) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.packets.queue(payload)?;
        self.packets.flush().await
    }

    /// Asks whether the key is of use, then signs with it.
    pub(crate) async fn sign_in(&mut self, user: &str, certificate: &Certificate, key: &KeyPair) -> io::Result<bool> {
        self.send(&Message::new(SERVICE_REQUEST).string("ssh-userauth").done()).await?;
        assert_eq!(self.packets.receive().await?[0], SERVICE_ACCEPT);
        let request = |is_signed: bool| {
            let message = Message::new(USERAUTH_REQUEST).string(user).string("ssh-connection").string("publickey");
            message.bool(is_signed).string(certificate.type_name()).string(certificate.wire()).done()
        };
        self.send(&request(false)).await?;
        match self.packets.receive().await?[0] {
            USERAUTH_PK_OK => {}
            other => return Ok(other != USERAUTH_FAILURE),
        }
        let signed = Message::default().string(self.id.unwrap()).raw(&request(true)).done();
        let scheme = Scheme::ssh(key.algorithm());
        let signature = ssh::signature_blob(scheme, &key.sign_with(scheme, &signed).unwrap()).unwrap();
        self.send(&Message::default().raw(&request(true)).string(signature).done()).await?;
        Ok(self.packets.receive().await?[0] == USERAUTH_SUCCESS)
    }

    /// Another way to sign in, which never works; the methods that are left come back.
    pub(crate) async fn try_method(&mut self, method: &str, rest: &[u8]) -> io::Result<String> {
        self.send(&Message::new(SERVICE_REQUEST).string("ssh-userauth").done()).await?;
        assert_eq!(self.packets.receive().await?[0], SERVICE_ACCEPT);
        let message = Message::new(USERAUTH_REQUEST).string("root").string("ssh-connection").string(method);
        self.send(&message.raw(rest).done()).await?;
        let answer = self.packets.receive().await?;
        assert_eq!(answer[0], USERAUTH_FAILURE);
        Ok(Reader::new(&answer[1..]).text().unwrap().to_owned())
    }

    pub(crate) async fn open(&mut self, kind: &str) -> io::Result<Heard> {
        self.send(&Message::new(CHANNEL_OPEN).string(kind).u32(7).u32(WINDOW).u32(32_768).done()).await?;
        self.hear().await
    }

    /// A channel that is open.
    pub(crate) async fn transport(&mut self) -> io::Result<u32> {
        match self.open(TRANSPORT).await? {
            Heard::Opened(id) => Ok(id),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    pub(crate) async fn dial(&mut self, channel: u32, address: &str) -> io::Result<Heard> {
        let request = format!(r#"{{"address":"{address}","conn_type":"node"}}"#);
        self.request(channel, DIAL, request.as_bytes()).await
    }

    /// The same for the only address that there is.
    pub(crate) async fn dial_auth(&mut self, channel: u32) -> io::Result<Heard> {
        self.dial(channel, AUTH).await
    }

    pub(crate) async fn request(&mut self, channel: u32, kind: &str, rest: &[u8]) -> io::Result<Heard> {
        let message = Message::new(CHANNEL_REQUEST).u32(channel).string(kind).bool(true).raw(rest);
        self.send(&message.done()).await?;
        self.hear().await
    }

    pub(crate) async fn global_request(&mut self, kind: &str) -> io::Result<u8> {
        self.send(&Message::new(GLOBAL_REQUEST).string(kind).bool(true).done()).await?;
        Ok(self.packets.receive().await?[0])
    }

    /// Sends data, with what the server has allowed or without.
    pub(crate) async fn data(&mut self, channel: u32, bytes: &[u8]) -> io::Result<()> {
        self.window = self.window.saturating_sub(bytes.len());
        self.send(&Message::new(CHANNEL_DATA).u32(channel).string(bytes).done()).await
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) async fn end(&mut self, channel: u32) -> io::Result<()> {
        self.send(&Message::new(CHANNEL_EOF).u32(channel).done()).await
    }

    pub(crate) async fn close(&mut self, channel: u32) -> io::Result<()> {
        self.send(&Message::new(CHANNEL_CLOSE).u32(channel).done()).await
    }

    /// Lets the server send more.
    pub(crate) async fn allow(&mut self, channel: u32, bytes: usize) -> io::Result<()> {
        let bytes = u32::try_from(bytes).unwrap();
        self.send(&Message::new(CHANNEL_WINDOW_ADJUST).u32(channel).u32(bytes).done()).await
    }

    /// The next thing that is said on a channel.
    pub(crate) async fn hear(&mut self) -> io::Result<Heard> {
        loop {
            let payload = match self.stashed.pop_front() {
                Some(payload) => payload,
                None => self.packets.receive().await?,
            };
            let mut reader = Reader::new(&payload[1..]);
            let mut number = || reader.u32().unwrap();
            let _channel = number();
            return Ok(match payload[0] {
                CHANNEL_OPEN_CONFIRMATION => {
                    let id = number();
                    self.window = number() as usize;
                    Heard::Opened(id)
                }
                CHANNEL_OPEN_FAILURE => {
                    number();
                    Heard::Refused(reader.text().unwrap().to_owned())
                }
                CHANNEL_WINDOW_ADJUST => {
                    self.window += number() as usize;
                    continue;
                }
                CHANNEL_DATA => Heard::Data(reader.string().unwrap().to_vec()),
                CHANNEL_EXTENDED_DATA => {
                    number();
                    Heard::Stderr(reader.string().unwrap().to_vec())
                }
                CHANNEL_SUCCESS => Heard::Success,
                CHANNEL_FAILURE => Heard::Failure,
                CHANNEL_EOF => Heard::Ended,
                CHANNEL_CLOSE => Heard::Closed,
                other => return Err(invalid(&format!("message {other}"))),
            });
        }
    }
}
