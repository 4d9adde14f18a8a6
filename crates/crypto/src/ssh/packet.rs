//! Encryption of SSH packets: AES-GCM as OpenSSH does it (`PROTOCOL` §1.6, RFC 5647 §7).

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::KeyError;

/// Bytes of the tag after a packet.
pub const TAG_LEN: usize = 16;

/// Bytes of the first nonce.
pub const IV_LEN: usize = 12;

/// Which cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// `aes128-gcm@openssh.com`
    Aes128Gcm,
    /// `aes256-gcm@openssh.com`
    Aes256Gcm,
}

impl Cipher {
    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm => 32,
        }
    }
}

/// The key of one direction. Each packet moves its nonce on, so packets are opened in the order in which they were sealed.
pub struct PacketKey {
    key: LessSafeKey,
    nonce: [u8; IV_LEN],
}

impl PacketKey {
    /// From the bytes that the exchange gave.
    ///
    /// # Errors
    /// The key is of another length.
    pub fn new(cipher: Cipher, key: &[u8], nonce: [u8; IV_LEN]) -> Result<Self, KeyError> {
        let algorithm = match cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Malformed)?;
        Ok(Self { key: LessSafeKey::new(key), nonce })
    }

    /// Encrypts `body` in place and gives its tag; `length` stays readable and cannot be changed.
    ///
    /// # Errors
    /// The library failed.
    pub fn seal(&mut self, length: [u8; 4], body: &mut [u8]) -> Result<[u8; TAG_LEN], KeyError> {
        let nonce = self.next();
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(length), body);
        let sealed = sealed.map_err(|_| KeyError::Failed("encryption"))?;
        sealed.as_ref().try_into().map_err(|_| KeyError::Failed("encryption"))
    }

    /// Decrypts a body with its tag in place.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`]: it was not sealed with this key, not as this packet, or it was changed.
    pub fn open<'a>(&mut self, length: [u8; 4], body_and_tag: &'a mut [u8]) -> Result<&'a mut [u8], KeyError> {
        let nonce = self.next();
        self.key.open_in_place(nonce, Aad::from(length), body_and_tag).map_err(|_| KeyError::BadSignature)
    }

    /// Four fixed bytes and a counter.
    fn next(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        if let Some(counter) = self.nonce.last_chunk_mut::<8>() {
            *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        }
        nonce
    }
}

impl fmt::Debug for PacketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacketKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_open_in_their_order_and_unchanged() {
        for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm] {
            let key = |n: u8| PacketKey::new(cipher, &vec![n; cipher.key_len()], [0xff; IV_LEN]).unwrap();
            let mut sealing = key(1);
            let mut packet = |text: &[u8]| {
                let mut body = text.to_vec();
                let tag = sealing.seal([0, 0, 0, 3], &mut body).unwrap();
                [body, tag.to_vec()].concat()
            };
            let (one, two) = (packet(b"one"), packet(b"two"));
            let mut opening = key(1);
            assert_eq!(opening.open([0, 0, 0, 3], &mut one.clone()).unwrap(), b"one");
            assert_eq!(opening.open([0, 0, 0, 3], &mut two.clone()).unwrap(), b"two");
            for (what, mut opening, length, mut body) in [
                ("out of order", key(1), 3, two),
                ("another key", key(2), 3, one.clone()),
                ("another length", key(1), 4, one.clone()),
                ("changed", key(1), 3, [&[one[0] ^ 1], &one[1..]].concat()),
                ("cut short", key(1), 3, vec![0; 4]),
            ] {
                assert!(opening.open([0, 0, 0, length], &mut body).is_err(), "{what}");
            }
            assert!(PacketKey::new(cipher, &[0; 3], [0; IV_LEN]).is_err());
        }
    }
}
