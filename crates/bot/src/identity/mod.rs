//! A bot's own identity: one key, its two certificates, and the authorities of the cluster.

mod exchange;
mod grace;
mod state;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Deref};

pub use client::{Certificates, IdentityError};

use client::Held;
use crypto::{KeyPair, hash, ssh};

pub(crate) use self::exchange::{Exchange, key_algorithm, wire_time};
pub(crate) use self::state::{Pending, Question};
pub use self::state::{State, StateError};

/// An identity that belongs together: the key is that of both certificates.
#[derive(Clone)]
pub struct BotIdentity {
    held: Held,
    principals: Vec<String>,
}

impl Deref for BotIdentity {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl BotIdentity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part cannot be read, or a certificate is not for the key.
    pub fn new(key: KeyPair, certificates: Certificates) -> Result<Self, IdentityError> {
        const SSH: &str = "SSH certificate";
        let ssh = ssh::Certificate::from_line(&certificates.ssh).map_err(|error| IdentityError::new(SSH, error))?;
        if ssh.public_key() != key.public() {
            return Err(IdentityError::new(SSH, "is not for the private key"));
        }
        Ok(Self { held: Held::new(key, certificates)?, principals: ssh.principals().to_vec() })
    }

    /// The same identity, trusting other authorities.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn with_authorities(&self, tls: Vec<String>, ssh: Vec<String>) -> Result<Self, IdentityError> {
        Self::new(self.key().clone(), self.trusting(tls, ssh))
    }
}

/// The summary that people look for in the log; the principals are those of the SSH certificate.
impl fmt::Display for BotIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, before) = (self.not_before(), self.not_after());
        let seconds = u64::try_from(before.as_second() - after.as_second()).unwrap_or(0);
        let duration = domain::form::duration::format(std::time::Duration::from_secs(seconds));
        let says = self.says();
        write!(
            f,
            "valid: after={after}, before={before}, duration={duration} | kind=tls, renewable={}, \
             disallow-reissue={}, roles=[{}], principals=[{}], generation={}",
            says.renewable,
            says.disallow_reissue,
            says.roles.join(" "),
            self.principals.join(" "),
            says.generation
        )
    }
}

impl fmt::Debug for BotIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotIdentity({self})")
    }
}

/// How a token is remembered: whoever reads the state learns nothing that can join.
pub(crate) fn token_hash(token: &str) -> String {
    hash::sha256_hex(token.as_bytes())
}
