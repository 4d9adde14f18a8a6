//! X.509 certificates.

mod authority;
pub(crate) mod encode;
mod lint;
mod template;

use crypto::asn1;
use crypto::x509::{Body, Certificate};
use crypto::{Random, Scheme};
use keystore::{KeyStore, StoredKey};

pub use self::authority::{AUTHORITY_LIFETIME, AuthorityTemplate, self_signed};
pub use self::template::{AlternativeNames, Template, Usage, host_template, user_template};
use crate::Error;

const WHAT: &str = "X.509 certificate";

/// An authority's TLS key with its own certificate: what signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The CA certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: StoredKey,
}

/// Issues a certificate.
///
/// # Errors
/// [`Error::Refused`] for what a CA of ours does not sign, [`Error::KeyStore`]; [`Error::Lint`] only by a defect.
pub async fn issue(
    template: &Template,
    signer: &Signer,
    key_store: &dyn KeyStore,
    random: &Random,
) -> Result<Certificate, Error> {
    let (tbs, body) = prepare(template, signer, random)?;
    sign(&tbs, body, &signer.key, key_store).await
}

/// The checked and linted bytes that [`issue`] signs.
///
/// # Errors
/// As [`issue`].
pub fn to_be_signed(template: &Template, signer: &Signer, random: &Random) -> Result<Vec<u8>, Error> {
    prepare(template, signer, random).map(|(tbs, _)| tbs)
}

/// As [`to_be_signed`], with what the second parser read: a caller records the serial number before it lets sign.
///
/// # Errors
/// As [`issue`].
pub fn prepare(template: &Template, signer: &Signer, random: &Random) -> Result<(Vec<u8>, Body), Error> {
    template.check(signer)?;
    let tbs = encode::leaf(template, signer, &serial(random));
    let body = lint::leaf(&tbs, template, signer)?;
    Ok((tbs, body))
}

/// 128 random bits, positive. The top bits are fixed to `01`, so that the length never varies and never is zero.
fn serial(random: &Random) -> [u8; 16] {
    let mut serial = random.bytes();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

/// Signs what [`to_be_signed`] made. Between the two a caller makes the record durable that limits the certificate.
///
/// # Errors
/// [`Error::KeyStore`]
pub async fn sign(tbs: &[u8], body: Body, key: &StoredKey, key_store: &dyn KeyStore) -> Result<Certificate, Error> {
    let scheme = Scheme::x509(key.public.algorithm());
    let signature = key_store.sign(key, scheme, tbs).await?;
    Ok(Certificate::assemble(tbs, body, scheme, signature))
}

/// `SEQUENCE { tbs, algorithm, signature }`, the outer form of CRLs as of certificates.
pub(crate) async fn sign_der(tbs: &[u8], key: &StoredKey, key_store: &dyn KeyStore) -> Result<Vec<u8>, Error> {
    let scheme = Scheme::x509(key.public.algorithm());
    let signature = key_store.sign(key, scheme, tbs).await?;
    Ok(asn1::sequence(&[tbs, scheme.algorithm_identifier(), &asn1::bit_string(&signature)]))
}
