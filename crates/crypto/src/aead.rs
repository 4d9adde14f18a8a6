//! Authenticated encryption: AES-256-GCM with a nonce drawn for each message.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{Random, SecretBytes};

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Bytes of a nonce. Random 96-bit nonces stay safe far beyond the number of CA keys that a cluster will ever seal
/// under one key (NIST SP 800-38D §8.3: 2³²).
pub const NONCE_LEN: usize = 12;

/// The message was not sealed with this key and this associated data, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed data cannot be opened: wrong key, wrong purpose, or altered")]
pub struct OpenError;

/// An AES-256-GCM key.
pub struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("aead::Key([redacted])")
    }
}

impl Key {
    /// Takes the 32 bytes of a key.
    ///
    /// # Panics
    /// Never: a key of this length is always accepted.
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        #[allow(clippy::expect_used, reason = "the only error is a wrong length, and the type fixes it")]
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes make an AES-256 key")))
    }

    /// Encrypts under a fresh nonce; `aad` must be given again to open.
    ///
    /// # Panics
    /// For messages longer than AES-GCM's limit of 64 GiB.
    pub fn seal(&self, random: &Random, aad: &[u8], plaintext: &[u8]) -> ([u8; NONCE_LEN], Vec<u8>) {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        // Room for the tag, so that growing the buffer leaves no copy of the plaintext behind.
        let mut sealed = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(plaintext);
        #[allow(clippy::expect_used, reason = "fails only above 64 GiB")]
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
            .expect("message below 64 GiB");
        (nonce, sealed)
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`OpenError`]; it does not say which part is wrong, because nobody can know.
    pub fn open(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let mut buffer = zeroize::Zeroizing::new(sealed.to_vec());
        let plaintext = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
            .map_err(|_| OpenError)?;
        Ok(SecretBytes::from(&*plaintext))
    }
}
