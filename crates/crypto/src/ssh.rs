//! SSH certificates as a read-only view, the wire form of signatures (OpenSSH `PROTOCOL.certkeys`), and what protects an
//! SSH connection.

pub mod exchange;
pub mod packet;
pub mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clock::Timestamp;

use crate::key::{Algorithm, KeyError, PublicKey, Scheme};

/// Ends the type name of every certificate of this format.
pub const CERTIFICATE_SUFFIX: &str = "-cert-v01@openssh.com";

/// More principals, options or extensions than this are a stranger's attempt to make us work.
const MOST_ENTRIES: usize = 4096;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateType {
    /// Logs a user in.
    User,
    /// Names a host.
    Host,
}

/// An SSH certificate that was read, not judged: [`Certificate::verify`] checks the signature only. Whether the signing
/// key is trusted, the time, the type, the principals and the critical options are the caller's to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    type_name: String,
    wire: Vec<u8>,
    signed_len: usize,
    nonce: Vec<u8>,
    public_key: PublicKey,
    serial: u64,
    cert_type: CertificateType,
    key_id: String,
    principals: Vec<String>,
    valid_after: Timestamp,
    valid_before: Timestamp,
    critical_options: Vec<(String, String)>,
    extensions: Vec<(String, String)>,
    signature_key: PublicKey,
    signature: Vec<u8>,
}

impl Certificate {
    /// From a line: type, base64, optional comment.
    ///
    /// # Errors
    /// Not a certificate of a kind that is used.
    pub fn from_line(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        let (kind, blob) = (words.next().ok_or(KeyError::Malformed)?, words.next().ok_or(KeyError::Malformed)?);
        let certificate = Self::from_wire(&STANDARD.decode(blob).map_err(|_| KeyError::Malformed)?)?;
        if certificate.type_name == kind { Ok(certificate) } else { Err(KeyError::Malformed) }
    }

    /// From the wire form.
    ///
    /// # Errors
    /// Not a certificate of a kind that is used.
    pub fn from_wire(blob: &[u8]) -> Result<Self, KeyError> {
        let (mut certificate, mut rest) = Self::read_body(blob)?;
        certificate.signature = rest.string()?.to_vec();
        rest.finish()?;
        Ok(certificate)
    }

    /// Reads the part that is to be signed, for a check before signing. [`Self::verify`] fails on it.
    ///
    /// # Errors
    /// Not the body of a certificate of a kind that is used.
    pub fn from_unsigned(body: &[u8]) -> Result<Self, KeyError> {
        let (certificate, rest) = Self::read_body(body)?;
        rest.finish()?;
        Ok(certificate)
    }

    fn read_body(blob: &[u8]) -> Result<(Self, wire::Reader<'_>), KeyError> {
        let mut reader = wire::Reader::new(blob);
        let type_name = reader.text()?;
        let base = type_name.strip_suffix(CERTIFICATE_SUFFIX).ok_or(KeyError::Malformed)?;
        let nonce = reader.string()?.to_vec();
        let public_key = PublicKey::from_ssh_fields(base.as_bytes(), &mut reader)?;
        let serial = reader.u64()?;
        let cert_type = match reader.u32()? {
            1 => CertificateType::User,
            2 => CertificateType::Host,
            _ => return Err(KeyError::Malformed),
        };
        let key_id = reader.text()?.to_owned();
        let principals = principals(reader.string()?)?;
        let (valid_after, valid_before) = (instant(reader.u64()?), instant(reader.u64()?));
        let critical_options = options(reader.string()?)?;
        let extensions = options(reader.string()?)?;
        let _reserved = reader.string()?;
        let signature_key = PublicKey::from_ssh_wire(reader.string()?)?;
        let signed_len = blob.len() - reader.remaining();
        let certificate = Self {
            type_name: type_name.to_owned(),
            wire: blob.to_vec(),
            signed_len,
            nonce,
            public_key,
            serial,
            cert_type,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            extensions,
            signature_key,
            signature: Vec::new(),
        };
        Ok((certificate, reader))
    }

    /// Checks the signature against [`Self::signature_key`]; says nothing about whether that key is trusted.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`], or a signature of a kind that is refused (`ssh-rsa` with SHA-1).
    pub fn verify(&self) -> Result<(), KeyError> {
        verify_blob(&self.signature_key, &self.wire[..self.signed_len], &self.signature)
    }

    /// The certificate as a line: type and base64, no comment, no line end.
    pub fn to_line(&self) -> String {
        format!("{} {}", self.type_name, STANDARD.encode(&self.wire))
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.wire[..self.signed_len]
    }

    /// For example `ssh-ed25519-cert-v01@openssh.com`.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The random bytes that make the signed text unpredictable.
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// The key that is certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Serial number, 0 when the CA gives none.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// User or host.
    pub fn cert_type(&self) -> CertificateType {
        self.cert_type
    }

    /// What logs name the certificate by; for our users the user name.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Who may be logged in as, or the host's names. An empty list means *anybody* to OpenSSH: refuse it.
    pub fn principals(&self) -> &[String] {
        &self.principals
    }

    /// Valid from this time on.
    pub fn valid_after(&self) -> Timestamp {
        self.valid_after
    }

    /// Valid before this time; [`Timestamp::MAX`] for ever.
    pub fn valid_before(&self) -> Timestamp {
        self.valid_before
    }

    /// Options that a verifier must understand or refuse.
    pub fn critical_options(&self) -> &[(String, String)] {
        &self.critical_options
    }

    /// Extensions; the value is empty for flags.
    pub fn extensions(&self) -> &[(String, String)] {
        &self.extensions
    }

    /// The value of one extension.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The key that signed.
    pub fn signature_key(&self) -> &PublicKey {
        &self.signature_key
    }
}

/// Wraps a signature made with [`Scheme::ssh`] into its wire form.
///
/// # Errors
/// The signature is not one of this scheme.
pub fn signature_blob(scheme: Scheme, signature: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut writer = wire::Writer::default();
    let name = match scheme {
        Scheme::RsaSha256 => "rsa-sha2-256",
        Scheme::RsaSha512 => "rsa-sha2-512",
        Scheme::EcdsaP256Der | Scheme::EcdsaP256Fixed => "ecdsa-sha2-nistp256",
        Scheme::Ed25519 => "ssh-ed25519",
        Scheme::RsaSha384 => return Err(KeyError::WrongScheme(Algorithm::Rsa2048, scheme)),
    };
    writer.string(name.as_bytes());
    let fixed = match scheme {
        Scheme::EcdsaP256Der => crate::key::fixed_ecdsa(signature)?,
        _ => signature.to_vec(),
    };
    if name == "ecdsa-sha2-nistp256" {
        let (r, s) = fixed.split_at_checked(32).ok_or(KeyError::Malformed)?;
        let mut pair = wire::Writer::default();
        pair.mpint(r);
        pair.mpint(s);
        writer.string(&pair.into_bytes());
    } else {
        writer.string(&fixed);
    }
    Ok(writer.into_bytes())
}

/// Checks a signature in its wire form.
///
/// # Errors
/// [`KeyError::BadSignature`], or a kind of signature that is refused.
pub fn verify_blob(key: &PublicKey, message: &[u8], blob: &[u8]) -> Result<(), KeyError> {
    let mut reader = wire::Reader::new(blob);
    let (name, signature) = (reader.string()?, reader.string()?);
    reader.finish()?;
    match name {
        b"rsa-sha2-256" => key.verify_with(Scheme::RsaSha256, message, signature),
        b"rsa-sha2-512" => key.verify_with(Scheme::RsaSha512, message, signature),
        b"ssh-ed25519" => key.verify_with(Scheme::Ed25519, message, signature),
        b"ecdsa-sha2-nistp256" => {
            let mut pair = wire::Reader::new(signature);
            let mut fixed = [0; 64];
            for half in fixed.chunks_exact_mut(32) {
                let number = pair.mpint()?;
                let start = 32_usize.checked_sub(number.len()).ok_or(KeyError::Malformed)?;
                half[start..].copy_from_slice(number);
            }
            pair.finish()?;
            key.verify_with(Scheme::EcdsaP256Fixed, message, &fixed)
        }
        other => Err(KeyError::Unsupported(String::from_utf8_lossy(&other[..other.len().min(64)]).into_owned())),
    }
}

fn principals(list: &[u8]) -> Result<Vec<String>, KeyError> {
    let mut reader = wire::Reader::new(list);
    let mut names = Vec::new();
    while !reader.is_empty() {
        if names.len() == MOST_ENTRIES {
            return Err(KeyError::Malformed);
        }
        names.push(reader.text()?.to_owned());
    }
    Ok(names)
}

fn options(list: &[u8]) -> Result<Vec<(String, String)>, KeyError> {
    let mut reader = wire::Reader::new(list);
    let mut options = Vec::new();
    while !reader.is_empty() {
        if options.len() == MOST_ENTRIES {
            return Err(KeyError::Malformed);
        }
        let (name, data) = (reader.text()?, reader.string()?);
        let mut data = wire::Reader::new(data);
        let value = if data.is_empty() { "" } else { data.text()? };
        data.finish()?;
        options.push((name.to_owned(), value.to_owned()));
    }
    Ok(options)
}

/// Seconds since 1970; what lies beyond the calendar (`u64::MAX` = for ever) becomes its end.
fn instant(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
