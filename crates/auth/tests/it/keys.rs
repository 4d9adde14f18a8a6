//! A key store whose RSA keys are one key, made once: making them anew for each cluster would be most of the run.

use std::sync::OnceLock;

use async_trait::async_trait;
use crypto::{Algorithm, KeyPair, Random, Scheme};
use keystore::{Error, KeyStore, KeyUse, SealingKey, SoftwareKeyStore, StoredKey};

#[derive(Debug)]
pub(crate) struct QuickKeys(SoftwareKeyStore);

impl QuickKeys {
    pub(crate) fn new() -> Self {
        Self(SoftwareKeyStore::new(vec![SealingKey::new(&[7; 32])], Random::system()).unwrap())
    }
}

#[async_trait]
impl KeyStore for QuickKeys {
    async fn generate(&self, algorithm: Algorithm, key_use: KeyUse) -> Result<StoredKey, Error> {
        static RSA: OnceLock<KeyPair> = OnceLock::new();
        match algorithm {
            Algorithm::Rsa2048 => {
                self.0.import(RSA.get_or_init(|| KeyPair::generate(algorithm).unwrap()), key_use).await
            }
            _ => self.0.generate(algorithm, key_use).await,
        }
    }

    async fn import(&self, key: &KeyPair, key_use: KeyUse) -> Result<StoredKey, Error> {
        self.0.import(key, key_use).await
    }

    async fn sign(&self, key: &StoredKey, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(key, scheme, message).await
    }

    async fn check(&self, key: &StoredKey) -> Result<(), Error> {
        self.0.check(key).await
    }

    async fn export_key(&self, key: &StoredKey) -> Result<KeyPair, Error> {
        self.0.export_key(key).await
    }
}
