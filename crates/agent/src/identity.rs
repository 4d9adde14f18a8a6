//! A host's identity: one key, its two certificates, and the host authorities of the cluster.

mod directory;

use std::{fmt, net::IpAddr, ops::Deref};

pub use client::{Certificates, IdentityError};

use client::Held;
use crypto::{KeyPair, tls::CertificateChain};
use domain::role::SystemRole;

pub(crate) use self::directory::{Directory, State};

/// An identity that belongs together: the key is that of the certificate, and it is a host's.
#[derive(Clone)]
pub struct Identity {
    held: Held,
    host_id: String,
    role: SystemRole,
}

impl Deref for Identity {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// When a part cannot be read, the certificate is not for the key, or its holder is no host.
    pub fn new(key: KeyPair, certificates: Certificates) -> Result<Self, IdentityError> {
        let held = Held::new(key, certificates)?;
        let (role, host_id) = (held.says().system_role(), held.says().host_id().map(str::to_owned));
        let (Some(role), Some(host_id)) = (role, host_id) else {
            return Err(IdentityError::new("TLS certificate", "is not that of a host"));
        };
        Ok(Self { held, host_id, role })
    }

    /// The id of this host, a UUID.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// What this host is to the cluster.
    pub fn role(&self) -> SystemRole {
        self.role
    }

    /// What is shown in a handshake.
    ///
    /// # Errors
    /// When TLS cannot use it.
    pub fn chain(&self) -> Result<CertificateChain, crypto::tls::Error> {
        CertificateChain::new(std::slice::from_ref(self.tls()), self.key())
    }

    /// Which of these names and addresses its certificate does not have.
    pub(crate) fn missing(&self, names: &[String]) -> Vec<String> {
        let has = |name: &&String| match name.parse::<IpAddr>() {
            Ok(address) => self.tls().ip_addresses().contains(&address),
            Err(_) => self.tls().dns_names().iter().any(|known| known.eq_ignore_ascii_case(name)),
        };
        names.iter().filter(|name| !has(name)).cloned().collect()
    }

    /// The same identity, trusting other authorities.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn with_authorities(&self, tls: Vec<String>, ssh: Vec<String>) -> Result<Self, IdentityError> {
        Self::new(self.key().clone(), self.trusting(tls, ssh))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} {}, until {})", self.role.as_str(), self.host_id, self.not_after())
    }
}
