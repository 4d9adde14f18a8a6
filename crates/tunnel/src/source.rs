//! A proxy's signed word about where its client is, carried in the PROXY header before a connection to the auth service.
//!
//! The proxy signs with the key of its host certificate and sends the certificate along. Auth believes it only from the
//! role Proxy: without that, whoever can reach the auth port could choose the address that is audited, limited and pinned.

use std::{net::SocketAddr, time::Duration};

use clock::Timestamp;
use crypto::{KeyPair, x509::Certificate};

/// The type of the field (0xE0–0xEF are free for own use, PROXY protocol §2.2.5).
pub const TLV: u8 = 0xE5;

/// How far the proxy's clock and ours may be apart, and how long the header may be on its way. Somebody who overheard it
/// can claim the same client's address for so long, from a place that reaches the auth port.
pub const LEEWAY: Duration = Duration::from_secs(60);

const CONTEXT: &[u8] = b"tessera-source-v1";

/// What the proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Where the client is.
    pub source: SocketAddr,
    /// What it dialled.
    pub destination: SocketAddr,
    /// The cluster for which it is said.
    pub cluster: &'a str,
}

/// The word is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("malformed statement about the client's address")]
    Malformed,
    /// It was said too long ago, or in the future.
    #[error("the statement about the client's address is not of now; are the clocks of proxy and auth service right?")]
    NotNow,
    /// The certificate is not of this cluster, or not valid now.
    #[error("the statement about the client's address comes with a certificate that is not trusted")]
    Untrusted,
    /// The signature does not fit.
    #[error("the statement about the client's address is not signed by its certificate's key")]
    Forged,
    /// The proxy's key cannot sign.
    #[error("the proxy's key cannot sign")]
    Key,
}

impl Statement<'_> {
    /// The field's value: time, certificate, signature.
    ///
    /// # Errors
    /// The key cannot sign, or the certificate is larger than a field may be.
    pub fn sign(&self, now: Timestamp, certificate: &Certificate, key: &KeyPair) -> Result<Vec<u8>, Error> {
        let time = now.as_millisecond().to_be_bytes();
        let signature = key.sign(&self.signed(time)).map_err(|_| Error::Key)?;
        let length = u16::try_from(certificate.der().len()).map_err(|_| Error::Key)?;
        Ok([&time[..], &length.to_be_bytes(), certificate.der(), &signature].concat())
    }

    /// Checks a field's value, and returns the certificate of whoever said it. That this is a proxy's is for the caller
    /// to see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(&self, value: &[u8], authorities: &[Certificate], now: Timestamp) -> Result<Certificate, Error> {
        let (time, rest) = value.split_first_chunk::<8>().ok_or(Error::Malformed)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Error::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (certificate, signature) = rest.split_at_checked(length).ok_or(Error::Malformed)?;
        let said = Timestamp::from_millisecond(i64::from_be_bytes(*time)).map_err(|_| Error::Malformed)?;
        if said.duration_since(now).unsigned_abs() > LEEWAY {
            return Err(Error::NotNow);
        }
        let certificate = Certificate::from_der(certificate).map_err(|_| Error::Malformed)?;
        let is_ours = authorities.iter().any(|authority| certificate.verify_signed_by(authority).is_ok());
        if !is_ours || !certificate.is_valid_at(now) || certificate.is_ca() {
            return Err(Error::Untrusted);
        }
        let key = certificate.public_key().map_err(|_| Error::Malformed)?;
        key.verify(&self.signed(*time), signature).map_err(|_| Error::Forged)?;
        Ok(certificate)
    }

    fn signed(&self, time: [u8; 8]) -> Vec<u8> {
        let addresses = format!("\0{}\0{}\0{}\0", self.source, self.destination, self.cluster);
        [CONTEXT, addresses.as_bytes(), &time].concat()
    }
}

#[cfg(test)]
mod tests;
