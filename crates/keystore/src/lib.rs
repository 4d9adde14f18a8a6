//! Where signing keys live: the port, the software implementation, and which algorithm each key has.
//!
//! A private key of the authority is seen by this crate only. Everybody else holds a [`StoredKey`]: the public key and
//! an opaque, sealed private part that may be stored anywhere. The one way out is [`KeyStore::export_key`].

mod sealing;
mod software;
pub mod suite;

use std::fmt;

use async_trait::async_trait;
use crypto::{Algorithm, KeyError, KeyPair, PublicKey, Scheme, SecretBytes};
use domain::ca::CaType;

pub use crate::sealing::{Envelope, SealingKey};
pub use crate::software::SoftwareKeyStore;

/// Which of an authority's three sets of keys a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs SSH certificates.
    Ssh,
    /// Signs X.509 certificates and CRLs.
    Tls,
    /// Signs JWTs.
    Jwt,
}

/// What a key is for. It is sealed together with the key, so that whoever can write to the store cannot present one
/// key as another (a database CA's as the host CA's, say).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// A key of a certificate authority.
    Authority(CaType, KeyKind),
    /// Signs the checkpoints of the audit chain.
    AuditCheckpoints,
    /// Speaks for an account with an ACME authority.
    AcmeAccount,
    /// The key of a certificate of the public port.
    PublicCertificate,
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(ca, kind) => write!(
                f,
                "{ca}-ca-{}",
                match kind {
                    KeyKind::Ssh => "ssh",
                    KeyKind::Tls => "tls",
                    KeyKind::Jwt => "jwt",
                }
            ),
            Self::AuditCheckpoints => f.write_str("audit-checkpoints"),
            Self::AcmeAccount => f.write_str("acme-account"),
            Self::PublicCertificate => f.write_str("public-certificate"),
        }
    }
}

/// A key that a key store made: what it is for, its public part, and its private part as only the key store reads it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// What the key may be used for.
    pub key_use: KeyUse,
    /// The public key.
    pub public: PublicKey,
    /// The sealed private key; safe to store, useless without a sealing key.
    pub sealed: SecretBytes,
}

/// What a key store could not do. Never carries key material.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Sealed with a key that was not given.
    #[error("the {key_use} key is sealed with key {key_id:?}, which is not among storage.sealing_keys ({known})")]
    UnknownSealingKey {
        /// What the sealed key is for.
        key_use: KeyUse,
        /// The missing sealing key.
        key_id: String,
        /// The ids that were given.
        known: String,
    },
    /// There is no sealing key at all.
    #[error("there is no sealing key: storage.sealing_keys is empty")]
    NoSealingKey,
    /// The text is not a sealing key.
    #[error("not a sealing key: expected 32 bytes as 64 hexadecimal digits or as base64")]
    BadSealingKey,
    /// The stored bytes are not an envelope.
    #[error("the stored {0} key is damaged")]
    Damaged(KeyUse),
    /// The envelope is another key's, or was changed.
    #[error("the stored {0} key cannot be opened")]
    Open(KeyUse, #[source] crypto::aead::OpenError),
    /// The key cannot do what was asked.
    #[error("the {0} key cannot be used")]
    Key(KeyUse, #[source] KeyError),
}

/// Where signing keys live. One implementation keeps them sealed in the store, others in hardware or a cloud's service.
#[async_trait]
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// Makes a key.
    ///
    /// # Errors
    /// [`Error`]
    async fn generate(&self, algorithm: Algorithm, key_use: KeyUse) -> Result<StoredKey, Error>;

    /// Takes in a key that was made elsewhere: a restored or migrated authority.
    ///
    /// # Errors
    /// [`Error`]
    async fn import(&self, key: &KeyPair, key_use: KeyUse) -> Result<StoredKey, Error>;

    /// Signs.
    ///
    /// # Errors
    /// [`Error`]
    async fn sign(&self, key: &StoredKey, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// Checks that a key can be used, without using it: at start, so that a missing sealing key is named then.
    ///
    /// # Errors
    /// [`Error::UnknownSealingKey`] above all.
    async fn check(&self, key: &StoredKey) -> Result<(), Error>;

    /// Hands out the private key. Of an authority only for the export that an administrator asks for on the auth host,
    /// audited there; of a public certificate, or of the account that it was got with, to the proxies.
    ///
    /// # Errors
    /// [`Error`]; a key in hardware cannot be exported.
    async fn export_key(&self, key: &StoredKey) -> Result<KeyPair, Error>;
}

#[cfg(test)]
mod tests;
