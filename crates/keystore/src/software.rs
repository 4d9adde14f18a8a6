//! Keys in software: sealed at rest, opened in memory while the process signs with them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use crypto::{Algorithm, KeyError, KeyPair, Random, Scheme, SecretBytes};

use crate::{Envelope, Error, KeyStore, KeyUse, SealingKey, StoredKey};

/// Opened keys kept in memory. A cluster has about twenty, twice that while everything rotates; beyond that something
/// hands us made-up keys, and we start over rather than grow.
const MOST_OPENED: usize = 256;

/// Keys sealed with AES-256-GCM.
pub struct SoftwareKeyStore {
    sealing_keys: Vec<SealingKey>,
    random: Random,
    /// By the hash of what the key is for, its public key and its envelope: a hit proves that exactly this was opened.
    opened: RwLock<HashMap<[u8; 32], KeyPair>>,
}

impl SoftwareKeyStore {
    /// The first sealing key seals, all of them open.
    ///
    /// # Errors
    /// [`Error::NoSealingKey`]
    pub fn new(sealing_keys: Vec<SealingKey>, random: Random) -> Result<Self, Error> {
        if sealing_keys.is_empty() {
            return Err(Error::NoSealingKey);
        }
        Ok(Self { sealing_keys, random, opened: RwLock::default() })
    }

    fn seal(&self, key: KeyPair, key_use: KeyUse) -> Result<StoredKey, Error> {
        let private = key.to_pkcs8_der().map_err(|error| Error::Key(key_use, error))?;
        let envelope = self.sealing_keys[0].seal(&self.random, key_use, key.public(), &private);
        let sealed = serde_json::to_vec(&envelope).map_err(|_| Error::Damaged(key_use))?;
        let stored = StoredKey { key_use, public: key.public().clone(), sealed: SecretBytes::new(sealed) };
        self.remember(&stored, key);
        Ok(stored)
    }

    fn open(&self, stored: &StoredKey) -> Result<KeyPair, Error> {
        let known = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&cache_key(stored)).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let key_use = stored.key_use;
        let envelope: Envelope = serde_json::from_slice(stored.sealed.expose()).map_err(|_| Error::Damaged(key_use))?;
        let sealing_key = self.sealing_keys.iter().find(|key| key.id() == envelope.key_id).ok_or_else(|| {
            let known: Vec<&str> = self.sealing_keys.iter().map(SealingKey::id).collect();
            Error::UnknownSealingKey { key_use, key_id: envelope.key_id.clone(), known: known.join(", ") }
        })?;
        let private = sealing_key.open(&envelope, key_use, &stored.public)?;
        let key = KeyPair::from_pkcs8_der(private.expose()).map_err(|error| Error::Key(key_use, error))?;
        if *key.public() != stored.public {
            return Err(Error::Key(key_use, KeyError::Malformed));
        }
        self.remember(stored, key.clone());
        Ok(key)
    }

    fn remember(&self, stored: &StoredKey, key: KeyPair) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= MOST_OPENED {
            opened.clear();
        }
        opened.insert(cache_key(stored), key);
    }
}

fn cache_key(stored: &StoredKey) -> [u8; 32] {
    let key_use = stored.key_use.to_string();
    crypto::hash::sha256_parts(&[key_use.as_bytes(), b"\0", &stored.public.sha256(), stored.sealed.expose()])
}

impl fmt::Debug for SoftwareKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKeyStore").field("sealing_keys", &self.sealing_keys).finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyStore for SoftwareKeyStore {
    async fn generate(&self, algorithm: Algorithm, key_use: KeyUse) -> Result<StoredKey, Error> {
        self.seal(KeyPair::generate(algorithm).map_err(|error| Error::Key(key_use, error))?, key_use)
    }

    async fn import(&self, key: &KeyPair, key_use: KeyUse) -> Result<StoredKey, Error> {
        self.seal(key.clone(), key_use)
    }

    async fn sign(&self, key: &StoredKey, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.open(key)?.sign_with(scheme, message).map_err(|error| Error::Key(key.key_use, error))
    }

    async fn check(&self, key: &StoredKey) -> Result<(), Error> {
        self.open(key).map(drop)
    }

    async fn export_key(&self, key: &StoredKey) -> Result<KeyPair, Error> {
        self.open(key)
    }
}
