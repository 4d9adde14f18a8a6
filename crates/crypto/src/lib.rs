//! Keys, suites, signatures, hashing, secrets, randomness, TLS configuration: the one place to audit.
//!
//! All cryptography is that of `aws-lc-rs`; this crate adds types, encodings, read-only views of certificates, and the
//! one protocol that no library has: exported authenticators (RFC 9261). It
//! knows nothing of the product: no roles, no resources, no files, no network.

pub mod aead;
pub mod asn1;
pub mod hash;
pub mod jwk;
pub mod key;
pub mod random;
pub mod secret;
pub mod ssh;
pub mod tls;
pub mod x509;

pub use crate::hash::constant_time_eq;
pub use crate::key::{Algorithm, KeyError, KeyPair, PublicKey, Scheme};
pub use crate::random::Random;
pub use crate::secret::{Secret, SecretBytes, SecretString};

#[cfg(test)]
mod tests;
