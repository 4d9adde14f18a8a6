//! Revocation lists: X.509 CRLs, and OpenSSH key revocation lists.

mod crl;
mod krl;

pub use self::crl::{Reason, Revoked, x509_crl};
pub use self::krl::{KeyRevocationList, SshRevocation};
