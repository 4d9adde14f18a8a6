//! X.509 certificates as a read-only view.
//!
//! Reading is the library's (`x509-cert`), so that what our CA writes by hand is checked by a parser it did not come
//! from. A view is not a verdict: the chain, the time and the usage are checked in [`crate::tls`] or by the caller.

mod body;

use std::ops::Deref;

use clock::Timestamp;

pub use self::body::{Body, KeyUsage};
use crate::asn1::{self, Malformed, Reader, tag};
use crate::key::{KeyError, Scheme};

/// A certificate of more bytes is refused unread.
pub const MOST_BYTES: usize = 64 * 1024;

/// The bytes are not an X.509 certificate that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not DER, or not a certificate, or not one of RFC 5280.
    #[error("not an X.509 certificate: {0}")]
    Malformed(&'static str),
    /// There is no PEM block with a certificate in the text.
    #[error("no certificate in the PEM text")]
    Missing,
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed("damaged DER")
    }
}

/// A certificate that was read; what it says is in [`Body`], which it dereferences to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Where the to-be-signed part lies in `der`.
    signed: std::ops::Range<usize>,
    scheme: Option<Scheme>,
    signature: Vec<u8>,
    body: Body,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`Error::Malformed`]
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MOST_BYTES {
            return Err(Error::Malformed("too large"));
        }
        let mut outer = Reader::new(der);
        let mut certificate = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        let (_, _, signed) = certificate.any()?;
        let (_, _, scheme) = certificate.any()?;
        let signature = certificate.bit_string()?.to_vec();
        certificate.finish()?;
        let start = signed.as_ptr().addr() - der.as_ptr().addr();
        Ok(Self {
            signed: start..start + signed.len(),
            scheme: Scheme::from_algorithm_identifier(scheme),
            signature,
            body: Body::from_der(signed)?,
            der: der.to_vec(),
        })
    }

    /// Puts a certificate together from a body that was read from `signed` and the signature over it.
    pub fn assemble(signed: &[u8], body: Body, scheme: Scheme, signature: Vec<u8>) -> Self {
        let tail = [scheme.algorithm_identifier(), &asn1::bit_string(&signature)].concat();
        let der = asn1::sequence(&[signed, &tail]);
        let start = der.len() - tail.len() - signed.len();
        Self { der, signed: start..start + signed.len(), scheme: Some(scheme), signature, body }
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// [`Error`]
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::many_from_pem(text)?.into_iter().next().ok_or(Error::Missing)
    }

    /// Reads all certificates of a PEM text, in order; other blocks and text between them are skipped.
    ///
    /// # Errors
    /// [`Error`], when one of them is bad, or [`Error::Missing`] when there is none.
    pub fn many_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        let blocks = pem::parse_many(text).map_err(|_| Error::Malformed("damaged PEM"))?;
        let found: Vec<_> = blocks
            .iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(|block| Self::from_der(block.contents()))
            .collect::<Result<_, _>>()?;
        if found.is_empty() { Err(Error::Missing) } else { Ok(found) }
    }

    /// The whole certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The to-be-signed part.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// PEM, label `CERTIFICATE`.
    pub fn to_pem(&self) -> String {
        crate::key::encode_pem("CERTIFICATE", &self.der)
    }

    /// Lower-case hex of SHA-256 over the whole certificate.
    pub fn fingerprint(&self) -> String {
        crate::hash::sha256_hex(&self.der)
    }

    /// Checks that the issuer's key signed this certificate and that the names fit. Nothing else: no time, no usage.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`], or a kind of key or signature that is not used.
    pub fn verify_signed_by(&self, issuer: &Certificate) -> Result<(), KeyError> {
        if self.issuer_der() != issuer.subject_der() {
            return Err(KeyError::BadSignature);
        }
        let scheme = self.scheme.ok_or_else(|| KeyError::Unsupported("signature algorithm".to_owned()))?;
        issuer.public_key()?.verify_with(scheme, self.signed_bytes(), &self.signature)
    }

    /// Whether `now` lies within the validity, both ends included (RFC 5280 §4.1.2.5).
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before() <= now && now <= self.not_after()
    }
}

impl Deref for Certificate {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

#[cfg(test)]
mod tests;
