//! Key pairs: made, read, written, and used to sign.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use zeroize::Zeroizing;

use super::{Algorithm, KeyError, PublicKey, Scheme, openssh};
use crate::asn1::{Reader, tag};
use crate::{SecretBytes, SecretString};

/// A private key and its public key. Cheap to clone; the library wipes the key with the last clone.
#[derive(Clone)]
pub struct KeyPair {
    inner: Arc<Inner>,
    public: PublicKey,
}

pub(super) enum Inner {
    Rsa(RsaKeyPair),
    EcdsaP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl KeyPair {
    /// Makes a new key.
    ///
    /// # Errors
    /// The library failed; in practice only without system randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Failed("making a key");
        Self::from_inner(match algorithm {
            Algorithm::Rsa2048 => Inner::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
            Algorithm::EcdsaP256 => {
                Inner::EcdsaP256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?)
            }
            Algorithm::Ed25519 => Inner::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        })
    }

    /// The Ed25519 key with this seed: for keys derived from something else, and for committed test keys.
    ///
    /// # Errors
    /// Never in practice: every 32 bytes are a seed.
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_inner(Inner::Ed25519(Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Malformed)?))
    }

    /// Reads PKCS#8.
    ///
    /// # Errors
    /// Not PKCS#8, or a kind of key that is not used.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Self::from_inner(Inner::Ed25519(key));
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            return Self::from_inner(Inner::EcdsaP256(key));
        }
        match RsaKeyPair::from_pkcs8(der) {
            Ok(key) => Self::from_inner(Inner::Rsa(key)),
            Err(_) => Err(KeyError::Malformed),
        }
    }

    /// Reads the first private key of a PEM text. Labels `PRIVATE KEY`, `RSA PRIVATE KEY` and `EC PRIVATE KEY` are
    /// tried as PKCS#8, PKCS#1 and SEC1 whatever they say, as the official loaders do; `OPENSSH PRIVATE KEY` as such.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::Encrypted`], or a key that is not used.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        for block in pem::parse_many(text).map_err(|_| KeyError::Malformed)? {
            let label = block.tag().to_owned();
            let encrypted = block.headers().get("Proc-Type").is_some_and(|kind| kind.contains("ENCRYPTED"));
            let contents = Zeroizing::new(block.into_contents());
            match label.as_str() {
                "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
                _ if encrypted => return Err(KeyError::Encrypted),
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => return Self::from_any_der(&contents),
                "OPENSSH PRIVATE KEY" => return openssh::read(&contents),
                _ => {}
            }
        }
        Err(KeyError::Missing)
    }

    fn from_any_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = Self::from_pkcs8_der(der) {
            return Ok(key);
        }
        if let Ok(key) = RsaKeyPair::from_der(der) {
            return Self::from_inner(Inner::Rsa(key));
        }
        match EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der) {
            Ok(key) => Self::from_inner(Inner::EcdsaP256(key)),
            Err(_) => Err(KeyError::Malformed),
        }
    }

    pub(super) fn from_inner(inner: Inner) -> Result<Self, KeyError> {
        let public = match &inner {
            Inner::Rsa(key) => PublicKey::from_pkcs1_der(key.public_key().as_ref())?,
            Inner::EcdsaP256(key) => PublicKey::from_p256_point(key.public_key().as_ref())?,
            Inner::Ed25519(key) => PublicKey::from_ed25519(key.public_key().as_ref())?,
        };
        Ok(Self { inner: Arc::new(inner), public })
    }

    /// PKCS#8, version 1.
    ///
    /// # Errors
    /// The library failed.
    pub fn to_pkcs8_der(&self) -> Result<SecretBytes, KeyError> {
        let failed = |_| KeyError::Failed("writing a key");
        Ok(match &*self.inner {
            Inner::Rsa(key) => SecretBytes::from(AsDer::<Pkcs8V1Der<'_>>::as_der(key).map_err(failed)?.as_ref()),
            Inner::EcdsaP256(key) => SecretBytes::from(key.to_pkcs8v1().map_err(failed)?.as_ref()),
            Inner::Ed25519(key) => SecretBytes::from(key.to_pkcs8v1().map_err(failed)?.as_ref()),
        })
    }

    /// PEM as the official tools write it: RSA as PKCS#1 (`RSA PRIVATE KEY`), the others as PKCS#8 (`PRIVATE KEY`).
    ///
    /// # Errors
    /// The library failed.
    pub fn to_pem(&self) -> Result<SecretString, KeyError> {
        let der = self.to_pkcs8_der()?;
        match self.algorithm() {
            Algorithm::Rsa2048 => Ok(super::encode_secret_pem("RSA PRIVATE KEY", pkcs1_of(der.expose())?)),
            _ => Ok(super::encode_secret_pem("PRIVATE KEY", der.expose())),
        }
    }

    /// PEM, always PKCS#8: for programs (SPIFFE, Go's TLS) that read only that.
    ///
    /// # Errors
    /// The library failed.
    pub fn to_pkcs8_pem(&self) -> Result<SecretString, KeyError> {
        Ok(super::encode_secret_pem("PRIVATE KEY", self.to_pkcs8_der()?.expose()))
    }

    /// PEM in OpenSSH's own format, without passphrase.
    ///
    /// # Errors
    /// The library failed.
    pub fn to_openssh_pem(&self, comment: &str) -> Result<SecretString, KeyError> {
        openssh::write(self, comment)
    }

    /// Signs as X.509 does: RSA PKCS#1 v1.5 with SHA-256, ECDSA as DER, Ed25519.
    ///
    /// # Errors
    /// The library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(Scheme::x509(self.algorithm()), message)
    }

    /// Signs with this scheme.
    ///
    /// # Errors
    /// [`KeyError::WrongScheme`] when the key is of another kind.
    pub fn sign_with(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Failed("signing");
        let random = SystemRandom::new();
        match (&*self.inner, scheme) {
            (Inner::Rsa(key), Scheme::RsaSha256) => sign_rsa(key, &signature::RSA_PKCS1_SHA256, &random, message),
            (Inner::Rsa(key), Scheme::RsaSha384) => sign_rsa(key, &signature::RSA_PKCS1_SHA384, &random, message),
            (Inner::Rsa(key), Scheme::RsaSha512) => sign_rsa(key, &signature::RSA_PKCS1_SHA512, &random, message),
            (Inner::EcdsaP256(key), Scheme::EcdsaP256Der) => {
                Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec())
            }
            (Inner::EcdsaP256(key), Scheme::EcdsaP256Fixed) => {
                fixed_ecdsa(key.sign(&random, message).map_err(failed)?.as_ref())
            }
            (Inner::Ed25519(key), Scheme::Ed25519) => Ok(key.sign(message).as_ref().to_vec()),
            (_, scheme) => Err(KeyError::WrongScheme(self.algorithm(), scheme)),
        }
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The kind of key.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

fn sign_rsa(
    key: &RsaKeyPair,
    encoding: &'static dyn RsaEncoding,
    random: &SystemRandom,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, random, message, &mut signature).map_err(|_| KeyError::Failed("signing"))?;
    Ok(signature)
}

/// The PKCS#1 key inside PKCS#8.
pub(super) fn pkcs1_of(pkcs8: &[u8]) -> Result<&[u8], KeyError> {
    let mut key = Reader::new(pkcs8).enter(tag::SEQUENCE)?;
    key.unsigned()?;
    key.enter(tag::SEQUENCE)?;
    Ok(key.expect(tag::OCTET_STRING)?)
}

/// r and s of a DER signature, left-padded to 32 bytes each.
pub(crate) fn fixed_ecdsa(der: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut pair = Reader::new(der).enter(tag::SEQUENCE)?;
    let mut fixed = vec![0; 64];
    for half in fixed.chunks_exact_mut(32) {
        let number = pair.unsigned()?;
        half.get_mut(32_usize.checked_sub(number.len()).ok_or(KeyError::Malformed)?..)
            .ok_or(KeyError::Malformed)?
            .copy_from_slice(number);
    }
    Ok(fixed)
}
