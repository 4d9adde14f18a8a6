//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::{Algorithm, PublicKey, Scheme};

/// The name of a key in headers and key sets: SHA-256 over its SPKI, base64url.
pub fn key_id(key: &PublicKey) -> String {
    URL_SAFE_NO_PAD.encode(key.sha256())
}

/// One key of a set, for signatures of the scheme that tokens have with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    kid: String,
    alg: &'static str,
    r#use: &'static str,
}

impl Jwk {
    /// The key as a JWK.
    pub fn of(key: &PublicKey) -> Self {
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let raw = key.raw();
        let alg = Scheme::jwt(key.algorithm()).jwt_name();
        let named = Self { kid: key_id(key), alg, r#use: "sig", ..Self::default() };
        match key.algorithm() {
            Algorithm::Rsa2048 => {
                let (modulus, exponent) = key.rsa_components().unwrap_or_default();
                Self { kty: "RSA", n: encode(modulus), e: encode(exponent), ..named }
            }
            // 4 ‖ x ‖ y
            Algorithm::EcdsaP256 => {
                Self { kty: "EC", crv: Some("P-256"), x: encode(&raw[1..33]), y: encode(&raw[33..]), ..named }
            }
            Algorithm::Ed25519 => Self { kty: "OKP", crv: Some("Ed25519"), x: encode(&raw), ..named },
        }
    }
}
