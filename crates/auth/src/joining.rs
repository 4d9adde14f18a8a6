//! A machine without an identity proves what it is and gets its first one.

pub mod token;

use std::time::Duration;

use clock::Timestamp;
use crypto::{PublicKey, SecretString};
use domain::role::SystemRole;

/// The life of a first certificate when the machine does not say how long.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// What a machine sends when it joins with a token.
#[derive(Debug)]
pub struct JoinRequest {
    /// The token's name, which for join method `token` is the secret.
    pub token: SecretString,
    /// What the machine wants to be.
    pub role: SystemRole,
    /// The key for its X.509 certificate.
    pub tls_key: PublicKey,
    /// The key for its SSH certificate.
    pub ssh_key: PublicKey,
    /// When the certificates are to end; the bot's limit is applied.
    pub expires: Option<Timestamp>,
}
