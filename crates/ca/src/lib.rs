//! An approved request becomes a signed X.509, SSH or JWT credential; authorities rotate.
//!
//! Each credential goes the same way: *template* (what it shall say) → *check* (may our CA say that) → encode → *lint*
//! (a parser that had no part in the encoding reads the bytes back and compares) → sign. Who may have which credential
//! is decided long before; this crate must never know about callers, roles or storage.

pub mod authority;
pub mod jwt;
pub mod revocation;
pub mod ssh;
pub mod x509;

use std::time::Duration;

use clock::Timestamp;
use domain::ca::CaType;

/// How far before the moment of issue a credential's validity begins.
///
/// A host whose clock is a little behind would otherwise refuse the certificate that it has just been given. It grants
/// nothing to an attacker but a credential that claims to be five minutes older than it is; a verifier that compares
/// ages (not expiry) must know this figure.
pub const BACKDATING: Duration = Duration::from_secs(5 * 60);

/// When a credential issued now begins to be valid.
pub fn not_before(now: Timestamp) -> Timestamp {
    now.checked_sub(BACKDATING).unwrap_or(Timestamp::MIN)
}

/// Why a credential was not issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template asks for something that this CA does not sign.
    #[error("the {what} cannot be issued: {reason}")]
    Refused {
        /// The kind of credential.
        what: &'static str,
        /// What is wrong with the template.
        reason: String,
    },
    /// What was encoded does not say what the template says: a defect of ours, caught before it was signed.
    #[error("the encoded {what} does not match its template: {field}")]
    Lint {
        /// The kind of credential.
        what: &'static str,
        /// The first field that differs.
        field: &'static str,
    },
    /// The authority has no usable active key of the kind that is needed.
    #[error("the {ca_type} authority has no usable active {kind} key: {reason}")]
    Authority {
        /// The authority.
        ca_type: CaType,
        /// The kind of key.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The key store did not sign.
    #[error("signing failed")]
    KeyStore(#[from] keystore::Error),
    /// The claims cannot be written as JSON.
    #[error("claims are not JSON")]
    Claims(#[from] serde_json::Error),
    /// A token is not one of ours.
    #[error("token refused: {0}")]
    Token(&'static str),
}

impl Error {
    pub(crate) fn refused(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { what, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
