//! The bytes of an SSH client, given to everything that reads them.

use crypto::{
    KeyPair,
    ssh::{CERTIFICATE_SUFFIX, Certificate, wire::Writer},
};

use super::kex::HostKey;
#[cfg(feature = "fuzzing")]
use super::{
    authenticate::Judge,
    channels::Channels,
    kex::{Agreed, Said, answer},
    packets::Packets,
};

/// A host with a certificate of its own making.
///
/// # Panics
/// Never: its certificate is always the same.
pub(crate) fn host() -> HostKey {
    #[allow(clippy::expect_used, reason = "for tests")]
    let key = KeyPair::from_ed25519_seed(&[7; 32]).expect("a seed");
    let mut body = Writer::default();
    body.string(format!("{}{CERTIFICATE_SUFFIX}", key.public().ssh_name()).as_bytes());
    body.string(b"nonce");
    key.public().write_ssh_fields(&mut body);
    body.u64(1);
    body.u32(2);
    for part in ["id", ""] {
        body.string(part.as_bytes());
    }
    body.u64(0);
    body.u64(u64::MAX);
    for _ in 0..3 {
        body.string(b"");
    }
    body.string(&key.public().ssh_wire());
    #[allow(clippy::expect_used, reason = "for tests")]
    let certificate = Certificate::from_unsigned(&body.into_bytes()).expect("a certificate");
    HostKey { certificate, key }
}

/// Takes bytes for packets, and the message in each for one of every kind.
#[cfg(feature = "fuzzing")]
pub(crate) fn messages(bytes: &[u8]) {
    let host = host();
    let keys = [host.key.public().clone()];
    let clock = clock::Clock::system();
    let address = [127, 0, 0, 1].into();
    let judge = Judge { users: &keys, hosts: &keys, address, now: clock.now() };
    let mut channels = Channels::new(std::sync::Arc::default());
    let mut streams = Vec::new();
    let mut packets = Packets::with_unread(tokio::io::empty(), clock, bytes);
    let mut agreed = None;
    while let Ok(Some(message)) = packets.next() {
        agreed = Agreed::new(&message, &host).ok().or(agreed);
        if let Some(agreed) = &agreed {
            let said = Said { client_version: b"c", server_version: b"s", client_init: b"", server_init: b"" };
            let _ = answer(agreed, &said, &host, &message, None);
        }
        judge.look(&message);
        let mut out = Vec::new();
        streams.extend(channels.take(&message, None, &mut out).ok().flatten());
        channels.pump(1 << 20, &mut out);
    }
}
