//! A proxy's signed word about where its client is, carried in the PROXY header before a connection to the auth service.
//!
//! The proxy signs with the key of its host certificate and sends the certificate along. Auth believes it only from the
//! role Proxy: without that, whoever can reach the auth port could choose the address that is audited, limited and pinned.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clock::Timestamp;
use crypto::{KeyPair, x509::Certificate};
use net::proxy_protocol::{Header, Tlv};

/// The type of the field with the signature (0xE0–0xEF are free for own use, PROXY protocol §2.2.5).
pub const TLV: u8 = 0xE5;

/// The type of the field with the address that limits count, where that is another one than the client's.
pub const COUNTED: u8 = 0xE6;

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
    /// Whom limits count: whoever dialled the proxy, where just anybody can have said where the client is.
    pub counted: IpAddr,
    /// The cluster for which it is said.
    pub cluster: &'a str,
}

/// The word is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("the client's address is not signed")]
    Missing,
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

impl<'a> Statement<'a> {
    /// The header that says so. The signature's field is time, certificate, signature.
    ///
    /// # Errors
    /// The key cannot sign, or the certificate is larger than a field may be.
    pub fn sign(&self, now: Timestamp, certificate: &Certificate, key: &KeyPair) -> Result<Header, Error> {
        let time = now.as_millisecond().to_be_bytes();
        let signature = key.sign(&self.signed(time)).map_err(|_| Error::Key)?;
        let length = u16::try_from(certificate.der().len()).map_err(|_| Error::Key)?;
        let value = [&time[..], &length.to_be_bytes(), certificate.der(), &signature].concat();
        let mut tlvs = vec![Tlv { kind: TLV, value }];
        if let Some(value) = self.counted_apart() {
            tlvs.push(Tlv { kind: COUNTED, value });
        }
        Ok(Header { source: self.source, destination: self.destination, tlvs })
    }

    /// What a header says for this cluster, and the certificate of whoever has signed it. That this is a proxy's is for
    /// the caller to see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn verify(
        header: &Header,
        cluster: &'a str,
        authorities: &[Certificate],
        now: Timestamp,
    ) -> Result<(Self, Certificate), Error> {
        let field = |kind| header.tlvs.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value.as_slice());
        let counted = match field(COUNTED) {
            None => header.source.ip(),
            Some(octets) => match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
                (Ok(octets), _) => octets.into(),
                (_, Ok(octets)) => octets.into(),
                _ => return Err(Error::Malformed),
            },
        };
        let Header { source, destination, .. } = *header;
        let statement = Self { source, destination, counted, cluster };
        let certificate = statement.check(field(TLV).ok_or(Error::Missing)?, authorities, now)?;
        Ok((statement, certificate))
    }

    fn check(&self, value: &[u8], authorities: &[Certificate], now: Timestamp) -> Result<Certificate, Error> {
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
        [CONTEXT, addresses.as_bytes(), &time, &self.counted_apart().unwrap_or_default()].concat()
    }

    /// The octets of the address that limits count, where it is not the client's.
    fn counted_apart(&self) -> Option<Vec<u8>> {
        let octets = match self.counted {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        (self.counted != self.source.ip()).then_some(octets)
    }
}

#[cfg(test)]
mod tests;
