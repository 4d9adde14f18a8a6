//! What a certificate says: the part that is signed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clock::Timestamp;
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{BitString, BmpString, ObjectIdentifier};
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::Error;
use crate::asn1::{Reader, tag};
use crate::key::{KeyError, PublicKey};

/// `[0]`, explicit: the version.
const VERSION: u8 = 0xa0;

const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// The bits of the key usage extension (RFC 5280 §4.2.1.3) as they stand in the first two bytes of the bit string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// Signatures other than on certificates and CRLs.
    pub const DIGITAL_SIGNATURE: Self = Self(0x8000);
    /// Transport of keys.
    pub const KEY_ENCIPHERMENT: Self = Self(0x2000);
    /// Signatures on certificates.
    pub const CERT_SIGN: Self = Self(0x0400);
    /// Signatures on CRLs.
    pub const CRL_SIGN: Self = Self(0x0200);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The signed content of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    serial: Vec<u8>,
    subject: Vec<(String, String)>,
    issuer: Vec<(String, String)>,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    dns_names: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    uris: Vec<String>,
    spki: Vec<u8>,
    is_ca: bool,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Vec<String>,
    extensions: Vec<Extension>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Extension {
    oid: String,
    critical: bool,
    value: Vec<u8>,
}

impl Body {
    /// Reads a to-be-signed body, with or without a signature to come.
    ///
    /// # Errors
    /// [`Error::Malformed`]
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let tbs = TbsCertificate::from_der(der).map_err(|_| Error::Malformed("not a certificate body"))?;
        let raw = RawParts::of(der)?;
        let mut body = Self {
            serial: tbs.serial_number().as_bytes().to_vec(),
            subject: attributes(tbs.subject())?,
            issuer: attributes(tbs.issuer())?,
            subject_der: raw.subject.to_vec(),
            issuer_der: raw.issuer.to_vec(),
            not_before: instant(&tbs.validity().not_before)?,
            not_after: instant(&tbs.validity().not_after)?,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            uris: Vec::new(),
            spki: raw.spki.to_vec(),
            is_ca: false,
            key_usage: None,
            extended_key_usage: Vec::new(),
            extensions: Vec::new(),
        };
        for extension in tbs.extensions().map_or(&[][..], |extensions| &extensions[..]) {
            let oid = dotted(&extension.extn_id);
            // Which of two would count is a matter of taste, so there may be one only (RFC 5280 §4.2).
            if body.extensions.iter().any(|other| other.oid == oid) {
                return Err(Error::Malformed("repeated extension"));
            }
            let value = extension.extn_value.as_bytes().to_vec();
            body.read_extension(&oid, &value)?;
            body.extensions.push(Extension { oid, critical: extension.critical, value });
        }
        Ok(body)
    }

    fn read_extension(&mut self, oid: &str, value: &[u8]) -> Result<(), Error> {
        match oid {
            SUBJECT_ALT_NAME => {
                let names = SubjectAltName::from_der(value).map_err(|_| Error::Malformed("alternative names"))?;
                for name in names.0 {
                    self.read_general_name(&name)?;
                }
            }
            BASIC_CONSTRAINTS => {
                let constraints =
                    BasicConstraints::from_der(value).map_err(|_| Error::Malformed("basic constraints"))?;
                self.is_ca = constraints.ca;
            }
            KEY_USAGE => {
                let bits = BitString::from_der(value).map_err(|_| Error::Malformed("key usage"))?;
                let mut bytes = bits.raw_bytes().iter().copied().chain([0, 0]);
                let word = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
                self.key_usage = Some(KeyUsage(u16::from_be_bytes(word)));
            }
            EXTENDED_KEY_USAGE => {
                let usages = ExtendedKeyUsage::from_der(value).map_err(|_| Error::Malformed("extended key usage"))?;
                self.extended_key_usage = usages.0.iter().map(dotted).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn read_general_name(&mut self, name: &GeneralName) -> Result<(), Error> {
        match name {
            GeneralName::DnsName(name) => self.dns_names.push(name.as_str().to_owned()),
            GeneralName::UniformResourceIdentifier(uri) => self.uris.push(uri.as_str().to_owned()),
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                let address = if let Ok(v4) = <[u8; 4]>::try_from(octets) {
                    IpAddr::V4(Ipv4Addr::from(v4))
                } else {
                    let v6 = <[u8; 16]>::try_from(octets).map_err(|_| Error::Malformed("IP address"))?;
                    IpAddr::V6(Ipv6Addr::from(v6))
                };
                self.ip_addresses.push(address);
            }
            _ => {}
        }
        Ok(())
    }

    /// The serial number, big-endian, as encoded.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The serial number in lower-case hex without leading zeros.
    pub fn serial_hex(&self) -> String {
        let text = crate::hash::hex(&self.serial);
        match text.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        }
    }

    /// Attributes of the subject as (OID, value): multi-valued RDNs flattened, in the order of the encoding.
    pub fn subject(&self) -> &[(String, String)] {
        &self.subject
    }

    /// Attributes of the issuer, as in [`Self::subject`].
    pub fn issuer(&self) -> &[(String, String)] {
        &self.issuer
    }

    /// The subject's DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// The issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// The first common name (2.5.4.3) of the subject.
    pub fn common_name(&self) -> Option<&str> {
        self.subject.iter().find(|(oid, _)| oid == "2.5.4.3").map(|(_, value)| value.as_str())
    }

    /// Valid from this time on.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Valid until this time.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// DNS names among the alternative names.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// Addresses among the alternative names.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.ip_addresses
    }

    /// URIs among the alternative names.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The certified key.
    ///
    /// # Errors
    /// A kind of key that is not used.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki_der(&self.spki)
    }

    /// DER of the certified key, of whatever kind.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The pin of the certified key: `sha256:` and lower-case hex of SHA-256 over the SPKI.
    pub fn pin(&self) -> String {
        format!("sha256:{}", crate::hash::sha256_hex(&self.spki))
    }

    /// Whether the basic constraints say CA.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The key usage, when the extension is there.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// OIDs of the extended key usage.
    pub fn extended_key_usage(&self) -> &[String] {
        &self.extended_key_usage
    }

    /// The content of an extension, by OID.
    pub fn extension(&self, oid: &str) -> Option<&[u8]> {
        self.extensions.iter().find(|extension| extension.oid == oid).map(|extension| extension.value.as_slice())
    }

    /// Whether an extension is there and critical.
    pub fn is_critical(&self, oid: &str) -> bool {
        self.extensions.iter().any(|extension| extension.oid == oid && extension.critical)
    }

    /// OIDs of all extensions, in order.
    pub fn extension_oids(&self) -> impl Iterator<Item = &str> {
        self.extensions.iter().map(|extension| extension.oid.as_str())
    }
}

/// The parts that are compared or hashed as they stand, not as they would be encoded again.
struct RawParts<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
}

impl<'a> RawParts<'a> {
    fn of(der: &'a [u8]) -> Result<Self, Error> {
        let mut tbs = Reader::new(der).enter(tag::SEQUENCE)?;
        // Version 1 leaves the version out.
        if tbs.peek() == Some(VERSION) {
            tbs.any()?;
        }
        let mut next = || tbs.any().map(|(_, _, whole)| whole);
        let (_serial, _algorithm, issuer, _validity) = (next()?, next()?, next()?, next()?);
        Ok(Self { issuer, subject: next()?, spki: next()? })
    }
}

fn attributes(name: &Name) -> Result<Vec<(String, String)>, Error> {
    name.iter()
        .map(|attribute| {
            let value = &attribute.value;
            let text = match value.tag() {
                Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
                    std::str::from_utf8(value.value()).map_err(|_| Error::Malformed("name"))?.to_owned()
                }
                // T.61 as Latin-1, as everybody reads it.
                Tag::TeletexString => value.value().iter().copied().map(char::from).collect(),
                Tag::BmpString => {
                    let text = BmpString::from_ucs2(value.value().to_vec()).map_err(|_| Error::Malformed("name"))?;
                    text.to_string()
                }
                // Shown as OpenSSL does what it cannot read as text.
                _ => format!("#{}", crate::hash::hex(value.value())),
            };
            Ok((dotted(&attribute.oid), text))
        })
        .collect()
}

/// `1.2.840.113549`. A certificate has some thirty of them, and the general way of formatting is felt.
fn dotted(oid: &ObjectIdentifier) -> String {
    let mut text = String::with_capacity(24);
    for arc in oid.arcs() {
        if !text.is_empty() {
            text.push('.');
        }
        let mut power = 1_000_000_000;
        while power > 1 && arc < power {
            power /= 10;
        }
        while power > 0 {
            text.push(char::from(b'0' + (arc / power % 10) as u8));
            power /= 10;
        }
    }
    text
}

fn instant(time: &Time) -> Result<Timestamp, Error> {
    let since = time.to_unix_duration();
    let seconds = i64::try_from(since.as_secs()).map_err(|_| Error::Malformed("time"))?;
    Timestamp::from_second(seconds).map_err(|_| Error::Malformed("time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_are_written_as_everybody_writes_them() {
        for text in ["0.0", "1.3.9999.1.7", "1.2.840.113549.1.1.11", "2.5.4.10", "2.16.840.4294967295"] {
            let oid: ObjectIdentifier = text.parse().expect("an object identifier");
            assert_eq!(dotted(&oid), text);
        }
    }
}
