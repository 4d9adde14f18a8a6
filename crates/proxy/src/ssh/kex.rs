//! Key exchange (RFC 4253 §7, RFC 8731, RFC 5656 §4): what is agreed on, and the keys that follow. No I/O.
//!
//! One good choice of each kind, which every client of the last ten years has: nothing here may be weaker than the rest.

use crypto::{
    Algorithm, KeyError, KeyPair, Random, Scheme, SecretBytes,
    hash::sha256_parts,
    ssh::{
        self, Certificate,
        exchange::{Curve, Ephemeral},
        packet::{Cipher, IV_LEN, PacketKey},
        wire::{Reader, Writer},
    },
};

use super::message::{KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, Message};

const CURVES: [(&str, Curve); 3] = [
    ("curve25519-sha256", Curve::X25519),
    ("curve25519-sha256@libssh.org", Curve::X25519),
    ("ecdh-sha2-nistp256", Curve::P256),
];

const CIPHERS: [(&str, Cipher); 2] =
    [("aes128-gcm@openssh.com", Cipher::Aes128Gcm), ("aes256-gcm@openssh.com", Cipher::Aes256Gcm)];

/// Not used: the ciphers carry their own. Some clients end the connection when nothing is in common.
const MACS: &str = "hmac-sha2-256,hmac-sha2-512";

/// Tells the client that nothing but the exchange itself may come before it has ended (CVE-2023-48795).
const STRICT: &str = "kex-strict-s-v00@openssh.com";

/// The client understands EXT_INFO (RFC 8308).
const EXT_INFO_CLIENT: &str = "ext-info-c";

/// Our SSH host certificate, and its key.
pub(crate) struct HostKey {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl HostKey {
    /// What the key can be used as. Only certificates: nobody should have to believe a bare key.
    fn algorithms(&self) -> &'static [(&'static str, Scheme)] {
        match self.key.algorithm() {
            Algorithm::Ed25519 => &[("ssh-ed25519-cert-v01@openssh.com", Scheme::Ed25519)],
            Algorithm::EcdsaP256 => &[("ecdsa-sha2-nistp256-cert-v01@openssh.com", Scheme::EcdsaP256Fixed)],
            Algorithm::Rsa2048 => &[
                ("rsa-sha2-512-cert-v01@openssh.com", Scheme::RsaSha512),
                ("rsa-sha2-256-cert-v01@openssh.com", Scheme::RsaSha256),
            ],
        }
    }
}

/// What we offer.
pub(super) fn init(host: &HostKey, random: &Random) -> Vec<u8> {
    let curves = CURVES.map(|(name, _)| name).join(",") + "," + STRICT;
    let host_keys = host.algorithms().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",");
    let ciphers = CIPHERS.map(|(name, _)| name).join(",");
    let mut message = Message::new(KEXINIT).raw(&random.bytes::<16>());
    for list in [&curves, &host_keys, &ciphers, &ciphers, MACS, MACS, "none", "none", "", ""] {
        message = message.string(list);
    }
    message.bool(false).u32(0).done()
}

/// What both sides can.
#[derive(Debug, PartialEq)]
pub(super) struct Agreed {
    curve: Curve,
    scheme: Scheme,
    incoming: Cipher,
    outgoing: Cipher,
    /// The client has sent a first message for a guess that was wrong: it is to be passed over.
    pub(super) skips_one: bool,
    pub(super) understands_ext_info: bool,
}

impl Agreed {
    /// From what the client offers; its order counts (RFC 4253 §7.1).
    pub(super) fn new(offer: &[u8], host: &HostKey) -> Result<Self, KeyError> {
        let mut reader = Reader::new(offer);
        let nothing = |kind: &str| KeyError::Unsupported(format!("no {kind} in common"));
        for _ in 0..17 {
            reader.u8()?;
        }
        let mut lists = [""; 10];
        for list in &mut lists {
            *list = reader.text()?;
        }
        let guesses = reader.u8()? != 0;
        reader.u32()?;
        reader.finish()?;
        let [curves, host_keys, incoming, outgoing, _, _, compression_in, compression_out, _, _] = lists;
        let (curve_name, curve) = first(curves, &CURVES).ok_or_else(|| nothing("key exchange"))?;
        let (host_name, scheme) = first(host_keys, host.algorithms()).ok_or_else(|| nothing("host key algorithm"))?;
        if [compression_in, compression_out].iter().any(|list| first(list, &[("none", ())]).is_none()) {
            return Err(nothing("compression"));
        }
        let is_first = |list: &str, name| list.split(',').next() == Some(name);
        Ok(Self {
            curve,
            scheme,
            incoming: first(incoming, &CIPHERS).ok_or_else(|| nothing("cipher"))?.1,
            outgoing: first(outgoing, &CIPHERS).ok_or_else(|| nothing("cipher"))?.1,
            skips_one: guesses && !(is_first(curves, curve_name) && is_first(host_keys, host_name)),
            understands_ext_info: curves.split(',').any(|name| name == EXT_INFO_CLIENT),
        })
    }
}

fn first<T: Copy>(offered: &str, ours: &[(&'static str, T)]) -> Option<(&'static str, T)> {
    offered.split(',').find_map(|name| ours.iter().find(|(own, _)| *own == name).copied())
}

/// What both sides have said before the exchange; all of it is signed.
pub(super) struct Said<'a> {
    pub(super) client_version: &'a [u8],
    pub(super) server_version: &'a [u8],
    pub(super) client_init: &'a [u8],
    pub(super) server_init: &'a [u8],
}

/// The keys of both directions.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) incoming: PacketKey,
    pub(super) outgoing: PacketKey,
}

/// Answers the client's half of the exchange: our reply, the keys, and the hash that all of it is bound to. The first
/// hash of a connection is its name, `session`.
pub(super) fn answer(
    agreed: &Agreed,
    said: &Said<'_>,
    host: &HostKey,
    request: &[u8],
    session: Option<[u8; 32]>,
) -> Result<(Vec<u8>, Keys, [u8; 32]), KeyError> {
    let mut reader = Reader::new(request);
    if reader.u8()? != KEX_ECDH_INIT {
        return Err(KeyError::Malformed);
    }
    let peer = reader.string()?;
    reader.finish()?;
    let own = Ephemeral::generate(agreed.curve)?;
    let own_public = own.public().to_vec();
    let secret = mpint(&own.agree(peer)?);
    let certificate = host.certificate.wire();
    let mut text = Writer::default();
    let parts = [said.client_version, said.server_version, said.client_init, said.server_init];
    for part in parts.into_iter().chain([certificate, peer, &own_public]) {
        text.string(part);
    }
    let hash = sha256_parts(&[&text.into_bytes(), secret.expose()]);
    let signature = ssh::signature_blob(agreed.scheme, &host.key.sign_with(agreed.scheme, &hash)?)?;
    let reply = Message::new(KEX_ECDH_REPLY).string(certificate).string(&own_public).string(signature).done();
    let keys = derive(&secret, &hash, &session.unwrap_or(hash), [agreed.incoming, agreed.outgoing])?;
    Ok((reply, keys, hash))
}

fn mpint(secret: &SecretBytes) -> SecretBytes {
    let mut writer = Writer::default();
    writer.mpint(secret.expose());
    SecretBytes::new(writer.into_bytes())
}

/// RFC 4253 §7.2. From client to server: A and C; back: B and D.
pub(super) fn derive(
    secret: &SecretBytes,
    hash: &[u8; 32],
    session: &[u8; 32],
    [incoming, outgoing]: [Cipher; 2],
) -> Result<Keys, KeyError> {
    let key = |iv: u8, key: u8, cipher: Cipher| {
        let derived = |letter| SecretBytes::from(&sha256_parts(&[secret.expose(), hash, &[letter], session])[..]);
        let (iv, key) = (derived(iv), derived(key));
        let nonce: [u8; IV_LEN] = iv.expose()[..IV_LEN].try_into().map_err(|_| KeyError::Malformed)?;
        PacketKey::new(cipher, &key.expose()[..cipher.key_len()], nonce)
    };
    Ok(Keys { incoming: key(b'A', b'C', incoming)?, outgoing: key(b'B', b'D', outgoing)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lists: [&str; 10], guesses: bool) -> Vec<u8> {
        let message = Message::new(KEXINIT).raw(&[0; 16]);
        lists.into_iter().fold(message, Message::string).bool(guesses).u32(0).done()
    }

    #[test]
    fn the_clients_order_decides() {
        let host = crate::ssh::fuzzing::host();
        let own = "ssh-ed25519-cert-v01@openssh.com";
        let (gcm, both) = ("aes256-gcm@openssh.com", "none,zlib");
        let good = ["ecdh-sha2-nistp256,curve25519-sha256,ext-info-c", own, gcm, gcm, "", "", both, both, "", ""];
        let agreed = Agreed::new(&offer(good, false), &host).unwrap();
        assert_eq!((agreed.curve, agreed.incoming), (Curve::P256, Cipher::Aes256Gcm));
        assert!(agreed.understands_ext_info && !agreed.skips_one);
        assert!(!Agreed::new(&offer(good, true), &host).unwrap().skips_one, "a guess that was right");
        let mut wrong = good;
        wrong[0] = "sntrup761x25519-sha512@openssh.com,curve25519-sha256";
        assert!(Agreed::new(&offer(wrong, true), &host).unwrap().skips_one, "a guess that was wrong");
        for (index, list) in [
            (0, "diffie-hellman-group14-sha1"),
            (1, "ssh-ed25519,ecdsa-sha2-nistp256-cert-v01@openssh.com"),
            (2, "aes128-ctr"),
            (3, "aes128-cbc"),
            (6, "zlib"),
            (7, ""),
        ] {
            let mut lists = good;
            lists[index] = list;
            assert!(Agreed::new(&offer(lists, false), &host).is_err(), "{list}");
        }
        let whole = offer(good, false);
        for length in 0..whole.len() {
            assert!(Agreed::new(&whole[..length], &host).is_err(), "{length}");
        }
    }
}
