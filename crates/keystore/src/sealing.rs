//! Sealing: a private key at rest is an envelope `{key_id, nonce, ciphertext}`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::aead::{KEY_LEN, Key, NONCE_LEN};
use crypto::{PublicKey, Random, SecretBytes, SecretString, hash};
use serde::{Deserialize, Serialize};

use crate::{Error, KeyUse};

/// A key that seals keys.
pub struct SealingKey {
    id: String,
    key: Key,
}

impl SealingKey {
    /// From its 32 bytes.
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        // Eight bytes of a hash tell keys apart and tell nothing about them.
        let sum = hash::sha256_parts(&[b"tessera-sealing-key-id-v1", bytes]);
        Self { id: hash::hex(&sum[..8]), key: Key::new(bytes) }
    }

    /// A new key, and the text to keep it as.
    pub fn generate(random: &Random) -> (Self, SecretString) {
        let bytes = crypto::Secret::new(random.bytes::<KEY_LEN>());
        (Self::new(bytes.expose()), SecretString::new(hash::hex(bytes.expose())))
    }

    /// From a file's text: 64 hexadecimal digits or base64, white space around it ignored.
    ///
    /// # Errors
    /// [`Error::BadSealingKey`]
    pub fn parse(text: &SecretString) -> Result<Self, Error> {
        let text = text.expose().trim();
        let bytes = SecretBytes::new(if text.len() == 2 * KEY_LEN {
            unhex(text).ok_or(Error::BadSealingKey)?
        } else {
            STANDARD.decode(text).map_err(|_| Error::BadSealingKey)?
        });
        let bytes: &[u8; KEY_LEN] = bytes.expose().as_slice().try_into().map_err(|_| Error::BadSealingKey)?;
        Ok(Self::new(bytes))
    }

    /// What envelopes name the key by: 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn seal(&self, random: &Random, key_use: KeyUse, public: &PublicKey, private: &SecretBytes) -> Envelope {
        let (nonce, ciphertext) = self.key.seal(random, &associated_data(key_use, public), private.expose());
        Envelope { key_id: self.id.clone(), nonce: STANDARD.encode(nonce), ciphertext: STANDARD.encode(ciphertext) }
    }

    pub(crate) fn open(&self, envelope: &Envelope, key_use: KeyUse, public: &PublicKey) -> Result<SecretBytes, Error> {
        let damaged = || Error::Damaged(key_use);
        let nonce = STANDARD.decode(&envelope.nonce).map_err(|_| damaged())?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| damaged())?;
        let ciphertext = STANDARD.decode(&envelope.ciphertext).map_err(|_| damaged())?;
        let aad = associated_data(key_use, public);
        self.key.open(&nonce, &aad, &ciphertext).map_err(|error| Error::Open(key_use, error))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// A sealed private key as it is stored (JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sealing key.
    pub key_id: String,
    /// Base64.
    pub nonce: String,
    /// Base64; PKCS#8 sealed with AES-256-GCM.
    pub ciphertext: String,
}

/// Binds an envelope to what the key is for and to its public key, so that envelopes cannot change places.
fn associated_data(key_use: KeyUse, public: &PublicKey) -> Vec<u8> {
    [format!("tessera-sealed-key-v1 {key_use} ").as_bytes(), &public.sha256()].concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect()
}
