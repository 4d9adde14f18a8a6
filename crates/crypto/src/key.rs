//! Key pairs and public keys of the three kinds that are used, in every encoding that other programs write or read.

mod openssh;
mod pem_text;
mod private;
mod public;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::pem_text::{encode as encode_pem, encode_secret as encode_secret_pem};
pub use self::private::KeyPair;
pub(crate) use self::private::fixed_ecdsa;
pub use self::public::PublicKey;
use crate::asn1::Malformed;

/// The kinds of keys that are made. A foreign RSA key of another size (2048 to 8192 bits) counts as [`Self::Rsa2048`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// ECDSA with NIST P-256.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

impl Algorithm {
    /// The name of the algorithm in documents and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a message is signed: algorithm, digest and the form of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSA PKCS#1 v1.5 with SHA-256 (X.509, JWT `RS256`, SSH `rsa-sha2-256`).
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-384 (X.509 of others, JWT `RS384`).
    RsaSha384,
    /// RSA PKCS#1 v1.5 with SHA-512 (SSH `rsa-sha2-512`, JWT `RS512`).
    RsaSha512,
    /// ECDSA P-256 with SHA-256, as a DER sequence (X.509).
    EcdsaP256Der,
    /// ECDSA P-256 with SHA-256, as r ‖ s in 64 bytes (JWT `ES256`).
    EcdsaP256Fixed,
    /// Ed25519.
    Ed25519,
}

impl Scheme {
    /// What X.509 and our own records use for a key of this kind.
    pub fn x509(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rsa2048 => Self::RsaSha256,
            Algorithm::EcdsaP256 => Self::EcdsaP256Der,
            Algorithm::Ed25519 => Self::Ed25519,
        }
    }

    /// What a JWT signed with a key of this kind uses.
    pub fn jwt(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EcdsaP256 => Self::EcdsaP256Fixed,
            other => Self::x509(other),
        }
    }

    /// What an SSH certificate signed with a key of this kind uses, before [`crate::ssh::signature_blob`] wraps it.
    /// SHA-512 for RSA: `ssh-rsa` with SHA-1 is refused by every current sshd.
    pub fn ssh(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rsa2048 => Self::RsaSha512,
            other => Self::x509(other),
        }
    }

    /// The `alg` of a JWT header (RFC 7518, RFC 8037).
    pub fn jwt_name(self) -> &'static str {
        match self {
            Self::RsaSha256 => "RS256",
            Self::RsaSha384 => "RS384",
            Self::RsaSha512 => "RS512",
            Self::EcdsaP256Der | Self::EcdsaP256Fixed => "ES256",
            Self::Ed25519 => "EdDSA",
        }
    }

    /// The scheme for the `alg` of a JWT header; none for what we refuse (`none`, HMAC) or do not have.
    pub fn from_jwt_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RsaSha256,
            "RS384" => Self::RsaSha384,
            "RS512" => Self::RsaSha512,
            "ES256" => Self::EcdsaP256Fixed,
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    /// DER of the X.509 `AlgorithmIdentifier` (RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3).
    pub fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::RsaSha256 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
            Self::RsaSha384 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
            Self::RsaSha512 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
            Self::EcdsaP256Der | Self::EcdsaP256Fixed => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
            Self::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
        }
    }

    /// The scheme for the DER of an X.509 `AlgorithmIdentifier`.
    pub fn from_algorithm_identifier(der: &[u8]) -> Option<Self> {
        [Self::RsaSha256, Self::RsaSha384, Self::RsaSha512, Self::EcdsaP256Der, Self::Ed25519]
            .into_iter()
            .find(|scheme| scheme.algorithm_identifier() == der)
    }
}

/// What can go wrong with a key. Never carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a key in any of the accepted encodings.
    #[error("not a key in the expected encoding")]
    Malformed,
    /// A key, but of a kind or size that is not used.
    #[error("unsupported key: {0}")]
    Unsupported(String),
    /// The private key is protected with a passphrase.
    #[error("the private key is encrypted with a passphrase")]
    Encrypted,
    /// There is no PEM block with a private key in the text.
    #[error("no private key in the PEM text")]
    Missing,
    /// This key cannot sign or verify with this scheme.
    #[error("a {0} key cannot be used with {1:?}")]
    WrongScheme(Algorithm, Scheme),
    /// The library refused to make a key or a signature.
    #[error("{0} failed")]
    Failed(&'static str),
    /// The signature does not belong to the message and the key.
    #[error("signature does not verify")]
    BadSignature,
}

impl From<Malformed> for KeyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
mod tests;
