//! Lists of revoked certificates, for programs that cannot ask us: what is locked now.
//!
//! A lock is the truth; a list is its shadow for `sshd` and other verifiers. It names the users that are locked, and the
//! serial numbers, as the audit log knows them, of every certificate that a lock in force hits.

pub mod export;
mod issued;
