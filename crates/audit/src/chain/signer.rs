//! The key that signs checkpoints: lives in the key store, its sealed form beside the log.

use std::sync::Arc;

use async_trait::async_trait;
use crypto::{Algorithm, PublicKey, Scheme, SecretBytes};
use keystore::{KeyStore, KeyUse, StoredKey};
use serde::{Deserialize, Serialize};
use storage::{Backend, Batch, Condition, Key};

use super::{SignError, Signer, decode, encode};

/// Storage kind of the key.
const KIND: &str = "audit_signing_key";
/// What a checkpoint is signed with.
const ALGORITHM: Algorithm = Algorithm::Ed25519;

/// Signs checkpoints with a key of the key store.
#[derive(Clone)]
pub struct KeyStoreSigner {
    keys: Arc<dyn KeyStore>,
    key: StoredKey,
}

/// How the key is stored. The private part is sealed by the key store.
#[derive(Serialize, Deserialize)]
struct Document {
    public: String,
    sealed: String,
}

/// The signing key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The store failed.
    #[error("the audit signing key cannot be stored")]
    Storage(#[from] storage::Error),
    /// The key store failed.
    #[error(transparent)]
    KeyStore(#[from] keystore::Error),
    /// What is stored is no key.
    #[error("the stored audit signing key is damaged")]
    Damaged,
}

impl KeyStoreSigner {
    /// The cluster's signing key, made when there is none yet. Two processes that start at once agree on one.
    ///
    /// # Errors
    /// See [`SigningKeyError`].
    pub async fn open(backend: &dyn Backend, keys: Arc<dyn KeyStore>) -> Result<Self, SigningKeyError> {
        let at = Key::new(KIND, "checkpoints");
        if let Some(key) = load(backend, &at).await? {
            return Ok(Self { keys, key });
        }
        let made = keys.generate(ALGORITHM, KeyUse::AuditCheckpoints).await?;
        let document = Document { public: made.public.to_pem(), sealed: hex::encode(made.sealed.expose()) };
        let batch = Batch::new().require(Condition::Absent(at.clone())).put(at.clone(), encode(&document), None);
        match backend.batch(batch).await {
            Ok(_) => Ok(Self { keys, key: made }),
            Err(storage::Error::Condition { .. }) => {
                let key = load(backend, &at).await?.ok_or(SigningKeyError::Damaged)?;
                Ok(Self { keys, key })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The public half, against which checkpoints are checked.
    pub fn key(&self) -> &PublicKey {
        &self.key.public
    }
}

async fn load(backend: &dyn Backend, at: &Key) -> Result<Option<StoredKey>, SigningKeyError> {
    let Some(item) = backend.get(at).await? else { return Ok(None) };
    let Document { public, sealed } = decode(at, &item.value)?;
    let public = PublicKey::from_pem(&public).map_err(|_| SigningKeyError::Damaged)?;
    let sealed = SecretBytes::new(hex::decode(sealed).map_err(|_| SigningKeyError::Damaged)?);
    Ok(Some(StoredKey { key_use: KeyUse::AuditCheckpoints, public, sealed }))
}

#[async_trait]
impl Signer for KeyStoreSigner {
    fn public_key(&self) -> PublicKey {
        self.key.public.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.keys.sign(&self.key, Scheme::x509(ALGORITHM), message).await?)
    }
}

#[cfg(test)]
mod tests {
    use clock::Clock;
    use crypto::Random;
    use keystore::{SealingKey, SoftwareKeyStore};
    use storage::memory::Memory;

    use super::*;

    #[tokio::test]
    async fn the_key_is_made_once_and_its_signatures_hold() {
        let random = Random::seeded(1);
        let backend = Memory::new(Clock::system(), &random);
        let (sealing_key, _) = SealingKey::generate(&random);
        let keys: Arc<dyn KeyStore> = Arc::new(SoftwareKeyStore::new(vec![sealing_key], random).unwrap());
        let first = KeyStoreSigner::open(&backend, Arc::clone(&keys)).await.unwrap();
        let second = KeyStoreSigner::open(&backend, keys).await.unwrap();
        assert_eq!(first.key(), second.key());
        let signature = second.sign(b"message").await.unwrap();
        assert!(first.key().verify(b"message", &signature).is_ok());
        assert!(first.key().verify(b"other", &signature).is_err());
    }
}
