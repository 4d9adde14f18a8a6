//! Self-signed certificates of authorities.

use std::time::Duration;

use clock::Timestamp;
use crypto::Random;
use crypto::x509::{Certificate, KeyUsage};
use keystore::{KeyStore, StoredKey};

use super::{encode, lint, serial, sign};
use crate::Error;

/// How long an authority's certificate is valid: ten years, as everybody expects who pins it. What limits an authority
/// is its rotation, not this date.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a CA certificate shall say.
#[derive(Debug, Clone)]
pub struct AuthorityTemplate {
    /// O and CN of the subject (tbot demands that the issuer's O is the cluster).
    pub cluster: String,
    /// Alternative names: the trust domain's ID for the SPIFFE CA.
    pub uris: Vec<String>,
    /// Whether the key also signs documents (SAML assertions).
    pub signs_documents: bool,
    /// Validity.
    pub not_before: Timestamp,
    /// Validity.
    pub not_after: Timestamp,
}

impl AuthorityTemplate {
    /// The subject. The serial number in it tells two generations of an authority apart, which verifiers that look
    /// issuers up by name need.
    pub(super) fn subject(&self, serial: &[u8]) -> Vec<(String, String)> {
        let decimal = serial.iter().try_fold(0_u128, |sum, byte| sum.checked_mul(256)?.checked_add(u128::from(*byte)));
        vec![
            ("2.5.4.10".to_owned(), self.cluster.clone()),
            ("2.5.4.3".to_owned(), self.cluster.clone()),
            ("2.5.4.5".to_owned(), decimal.unwrap_or_default().to_string()),
        ]
    }

    pub(super) fn key_usage(&self) -> KeyUsage {
        let usage = KeyUsage::CERT_SIGN.and(KeyUsage::CRL_SIGN);
        if self.signs_documents { usage.and(KeyUsage::DIGITAL_SIGNATURE) } else { usage }
    }
}

/// Makes the self-signed certificate of an authority's key.
///
/// # Errors
/// [`Error::KeyStore`]; [`Error::Lint`] for a cluster name that X.509 cannot hold.
pub async fn self_signed(
    template: &AuthorityTemplate,
    key: &StoredKey,
    key_store: &dyn KeyStore,
    random: &Random,
) -> Result<Certificate, Error> {
    let serial = serial(random);
    let tbs = encode::authority(template, &key.public, &serial);
    let body = lint::authority(&tbs, template, &key.public, &serial)?;
    sign(&tbs, body, key, key_store).await
}
