//! Public keys.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Algorithm, KeyError, Scheme};
use crate::asn1::{self, Reader, tag};
use crate::ssh::wire;

/// `AlgorithmIdentifier` of RSA keys (RFC 3279 §2.3.1).
const RSA_ID: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// `AlgorithmIdentifier` of P-256 keys (RFC 5480 §2.1).
const P256_ID: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// `AlgorithmIdentifier` of Ed25519 keys (RFC 8410 §3).
const ED25519_ID: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// A public key, checked when it was read: an RSA modulus of 2048 to 8192 bits, a point on P-256, or an Ed25519 key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Arc<Inner>);

#[derive(PartialEq, Eq, Hash)]
enum Inner {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed point, 65 bytes.
    EcdsaP256(Vec<u8>),
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// From the big-endian modulus and exponent of an RSA key.
    ///
    /// # Errors
    /// Size or form not accepted.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (modulus, exponent) = (strip(modulus), strip(exponent));
        let key = Self(Arc::new(Inner::Rsa { modulus, exponent }));
        key.check(&signature::RSA_PKCS1_2048_8192_SHA256, &key.raw(), "RSA key")?;
        Ok(key)
    }

    /// From an uncompressed point on P-256 (65 bytes).
    ///
    /// # Errors
    /// Not a point on the curve.
    pub fn from_p256_point(point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 65 || point[0] != 4 {
            return Err(KeyError::Malformed);
        }
        let key = Self(Arc::new(Inner::EcdsaP256(point.to_vec())));
        key.check(&signature::ECDSA_P256_SHA256_ASN1, point, "P-256 key")?;
        Ok(key)
    }

    /// From the 32 bytes of an Ed25519 key.
    ///
    /// # Errors
    /// Wrong length.
    pub fn from_ed25519(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Inner::Ed25519(bytes.try_into().map_err(|_| KeyError::Malformed)?))))
    }

    /// From the DER of a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// Not such DER, or a kind of key that is not used.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Reader::new(der);
        let mut spki = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        let (_, _, id) = spki.any()?;
        let bits = spki.bit_string()?;
        spki.finish()?;
        match id {
            RSA_ID => Self::from_pkcs1_der(bits),
            P256_ID => Self::from_p256_point(bits),
            ED25519_ID => Self::from_ed25519(bits),
            _ => Err(KeyError::Unsupported("neither RSA, ECDSA P-256 nor Ed25519".to_owned())),
        }
    }

    /// From the DER of a PKCS#1 `RSAPublicKey`.
    ///
    /// # Errors
    /// Not such DER, or a size that is not accepted.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Reader::new(der);
        let mut key = outer.enter(tag::SEQUENCE)?;
        outer.finish()?;
        let (modulus, exponent) = (key.unsigned()?, key.unsigned()?);
        key.finish()?;
        Self::from_rsa(modulus, exponent)
    }

    /// From PEM: `PUBLIC KEY` or `RSA PUBLIC KEY` (older clients send the latter).
    ///
    /// # Errors
    /// No such PEM block, or a bad key in it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::parse(text).map_err(|_| KeyError::Malformed)?;
        match block.tag() {
            "PUBLIC KEY" => Self::from_spki_der(block.contents()),
            "RSA PUBLIC KEY" => Self::from_pkcs1_der(block.contents()),
            _ => Err(KeyError::Malformed),
        }
    }

    /// From a line of `authorized_keys` without options: type, base64, optional comment.
    ///
    /// # Errors
    /// Not such a line, or a kind of key that is not used.
    pub fn from_authorized_key(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        let (kind, blob) = (words.next().ok_or(KeyError::Malformed)?, words.next().ok_or(KeyError::Malformed)?);
        let key = Self::from_ssh_wire(&STANDARD.decode(blob).map_err(|_| KeyError::Malformed)?)?;
        if key.ssh_name() == kind { Ok(key) } else { Err(KeyError::Malformed) }
    }

    /// From the SSH wire form (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
    ///
    /// # Errors
    /// Not such bytes, or a kind of key that is not used.
    pub fn from_ssh_wire(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = wire::Reader::new(blob);
        let kind = reader.string()?;
        let key = Self::from_ssh_fields(kind, &mut reader)?;
        reader.finish()?;
        Ok(key)
    }

    /// Reads the fields that follow the type name; certificates share them.
    pub(crate) fn from_ssh_fields(kind: &[u8], reader: &mut wire::Reader<'_>) -> Result<Self, KeyError> {
        match kind {
            b"ssh-rsa" => {
                let (exponent, modulus) = (reader.mpint()?, reader.mpint()?);
                Self::from_rsa(modulus, exponent)
            }
            b"ecdsa-sha2-nistp256" => match reader.string()? {
                b"nistp256" => Self::from_p256_point(reader.string()?),
                _ => Err(KeyError::Malformed),
            },
            b"ssh-ed25519" => Self::from_ed25519(reader.string()?),
            other => Err(KeyError::Unsupported(String::from_utf8_lossy(&other[..other.len().min(64)]).into_owned())),
        }
    }

    /// DER of the `SubjectPublicKeyInfo`.
    pub fn spki_der(&self) -> Vec<u8> {
        let id = match &*self.0 {
            Inner::Rsa { .. } => RSA_ID,
            Inner::EcdsaP256(_) => P256_ID,
            Inner::Ed25519(_) => ED25519_ID,
        };
        asn1::sequence(&[id, &asn1::bit_string(&self.raw())])
    }

    /// PEM, label `PUBLIC KEY`.
    pub fn to_pem(&self) -> String {
        super::encode_pem("PUBLIC KEY", &self.spki_der())
    }

    /// A line of `authorized_keys`: type and base64, no comment, no line end.
    pub fn to_authorized_key(&self) -> String {
        format!("{} {}", self.ssh_name(), STANDARD.encode(self.ssh_wire()))
    }

    /// The SSH wire form.
    pub fn ssh_wire(&self) -> Vec<u8> {
        let mut writer = wire::Writer::default();
        writer.string(self.ssh_name().as_bytes());
        self.write_ssh_fields(&mut writer);
        writer.into_bytes()
    }

    /// Writes what follows the type name in the SSH wire form; certificates carry the same fields.
    pub fn write_ssh_fields(&self, writer: &mut wire::Writer) {
        match &*self.0 {
            Inner::Rsa { modulus, exponent } => {
                writer.mpint(exponent);
                writer.mpint(modulus);
            }
            Inner::EcdsaP256(point) => {
                writer.string(b"nistp256");
                writer.string(point);
            }
            Inner::Ed25519(bytes) => writer.string(bytes),
        }
    }

    /// The SSH name of the key's type.
    pub fn ssh_name(&self) -> &'static str {
        match self.algorithm() {
            Algorithm::Rsa2048 => "ssh-rsa",
            Algorithm::EcdsaP256 => "ecdsa-sha2-nistp256",
            Algorithm::Ed25519 => "ssh-ed25519",
        }
    }

    /// The kind of key; every RSA size is [`Algorithm::Rsa2048`].
    pub fn algorithm(&self) -> Algorithm {
        match &*self.0 {
            Inner::Rsa { .. } => Algorithm::Rsa2048,
            Inner::EcdsaP256(_) => Algorithm::EcdsaP256,
            Inner::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Modulus and exponent of an RSA key, big-endian without leading zeros.
    pub fn rsa_components(&self) -> Option<(&[u8], &[u8])> {
        match &*self.0 {
            Inner::Rsa { modulus, exponent } => Some((modulus, exponent)),
            _ => None,
        }
    }

    /// The bytes inside the SPKI's bit string: PKCS#1, the uncompressed point, or the 32 bytes of Ed25519.
    pub fn raw(&self) -> Vec<u8> {
        match &*self.0 {
            Inner::Rsa { modulus, exponent } => asn1::sequence(&[&asn1::unsigned(modulus), &asn1::unsigned(exponent)]),
            Inner::EcdsaP256(point) => point.clone(),
            Inner::Ed25519(bytes) => bytes.to_vec(),
        }
    }

    /// SHA-256 of the SPKI: the key's name wherever a key is compared or pinned.
    pub fn sha256(&self) -> [u8; 32] {
        crate::hash::sha256(&self.spki_der())
    }

    /// The OpenSSH fingerprint: `SHA256:` and unpadded base64 over the wire form.
    pub fn ssh_fingerprint(&self) -> String {
        let sum = crate::hash::sha256(&self.ssh_wire());
        format!("SHA256:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(sum))
    }

    /// Checks a signature made by [`super::KeyPair::sign`].
    ///
    /// # Errors
    /// [`KeyError::BadSignature`]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.verify_with(Scheme::x509(self.algorithm()), message, signature)
    }

    /// Checks a signature made with this scheme.
    ///
    /// # Errors
    /// [`KeyError::WrongScheme`] when the key is of another kind, [`KeyError::BadSignature`].
    pub fn verify_with(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let algorithm: &'static dyn VerificationAlgorithm = match (scheme, self.algorithm()) {
            (Scheme::RsaSha256, Algorithm::Rsa2048) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Scheme::RsaSha384, Algorithm::Rsa2048) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Scheme::RsaSha512, Algorithm::Rsa2048) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Scheme::EcdsaP256Der, Algorithm::EcdsaP256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Scheme::EcdsaP256Fixed, Algorithm::EcdsaP256) => &signature::ECDSA_P256_SHA256_FIXED,
            (Scheme::Ed25519, Algorithm::Ed25519) => &signature::ED25519,
            (scheme, key) => return Err(KeyError::WrongScheme(key, scheme)),
        };
        let raw = self.raw();
        ParsedPublicKey::new(algorithm, &raw)
            .map_err(|_| KeyError::Malformed)?
            .verify_sig(message, signature)
            .map_err(|_| KeyError::BadSignature)
    }

    fn check(&self, algorithm: &'static dyn VerificationAlgorithm, raw: &[u8], what: &str) -> Result<(), KeyError> {
        if let Some((modulus, exponent)) = self.rsa_components() {
            let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte & 1 == 1);
            if !(2048..=8192).contains(&bits) || !odd(modulus) || !odd(exponent) || exponent == [1] {
                return Err(KeyError::Unsupported(format!("RSA key with a modulus of {bits} bits")));
            }
        }
        ParsedPublicKey::new(algorithm, raw).map_err(|_| KeyError::Unsupported(format!("invalid {what}")))?;
        Ok(())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_authorized_key())
    }
}
