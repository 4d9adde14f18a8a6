//! Where a client's identity comes from: an identity file, a key pair, memory, or nowhere.
//!
//! Besides `daemon`, `bot` and `cli` this is the only place that reads paths it was not handed open.

mod identity_file;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use clock::Timestamp;
use crypto::{KeyPair, tls::CertificateChain, x509::Certificate};
use domain::identity::Identity;

pub use identity_file::IdentityFile;

/// An identity for TLS and the authorities that came with it.
#[derive(Clone, Default)]
pub struct Credentials {
    identity: Option<TlsIdentity>,
    authorities: Vec<Certificate>,
}

/// A certificate chain with its private key, and the leaf to look at.
#[derive(Clone)]
struct TlsIdentity {
    chain: CertificateChain,
    leaf: Certificate,
}

/// Why credentials could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The text is not what it should be.
    #[error("{what}: {reason}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Private key and certificate belong to different keys.
    #[error("the private key does not belong to the {what}")]
    Mismatch {
        /// Which certificate.
        what: &'static str,
    },
    /// There is no SSH certificate, which official tools insist on.
    #[error("could not find SSH cert in the identity file")]
    NoSshCertificate,
}

impl CredentialsError {
    fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}

impl Credentials {
    /// No identity and no authority: for the first connection.
    pub fn none() -> Self {
        Self::default()
    }

    /// From parts in memory: a chain (leaf first), its key, and the authorities to trust.
    ///
    /// # Errors
    /// [`CredentialsError::Mismatch`] when the key is not the leaf's, [`CredentialsError::Malformed`] without a leaf.
    pub fn in_memory(
        chain: Vec<Certificate>,
        key: &KeyPair,
        authorities: Vec<Certificate>,
    ) -> Result<Self, CredentialsError> {
        let leaf = chain.first().ok_or_else(|| CredentialsError::malformed("TLS certificate", "there is none"))?;
        let chain = CertificateChain::new(&chain, key).map_err(|error| match error {
            crypto::tls::Error::Mismatch => CredentialsError::Mismatch { what: "TLS certificate" },
            other => CredentialsError::malformed("TLS identity", other),
        });
        Ok(Self { identity: Some(TlsIdentity { leaf: leaf.clone(), chain: chain? }), authorities })
    }

    /// From three PEM texts: certificate (chain), private key, authorities.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_pem(certificate: &str, key: &str, authorities: &str) -> Result<Self, CredentialsError> {
        let key = KeyPair::from_pem(key).map_err(|error| CredentialsError::malformed("private key", error))?;
        let trusted = certificates("TLS authorities", authorities)?;
        if trusted.is_empty() {
            return Err(CredentialsError::malformed("TLS authorities", "there is no certificate in it"));
        }
        Self::in_memory(certificates("TLS certificate", certificate)?, &key, trusted)
    }

    /// From three PEM files: certificate (chain), private key, authorities.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_key_pair(certificate: &Path, key: &Path, authorities: &Path) -> Result<Self, CredentialsError> {
        Self::from_pem(&read(certificate)?, &read(key)?, &read(authorities)?)
    }

    /// From an identity file, as `tctl auth sign` and the bot's `identity` output write it.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_identity_file(path: &Path) -> Result<Self, CredentialsError> {
        Self::from_identity(&IdentityFile::read(path)?)
    }

    /// From an identity file that was read already.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_identity(file: &IdentityFile) -> Result<Self, CredentialsError> {
        Self::from_pem(&file.tls_certificate, file.key.expose(), &file.tls_authorities.concat())
    }

    /// The same identity, trusting other authorities.
    #[must_use]
    pub fn with_authorities(mut self, authorities: Vec<Certificate>) -> Self {
        self.authorities = authorities;
        self
    }

    /// The client certificate, if there is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.identity.as_ref().map(|identity| &identity.leaf)
    }

    /// The authorities that came with the identity.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The cluster that issued the client certificate.
    pub fn cluster(&self) -> Option<String> {
        let says = Identity::from_subject(self.certificate()?.subject()).ok()?;
        Some(says.teleport_cluster).filter(|cluster| !cluster.is_empty())
    }

    /// When the client certificate ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.certificate().map(|certificate| certificate.not_after())
    }

    /// The client certificate with its key, for a TLS configuration.
    pub fn chain(&self) -> Option<CertificateChain> {
        self.identity.as_ref().map(|identity| identity.chain.clone())
    }
}

/// The authorities that this system trusts for public web servers; `SSL_CERT_FILE` and `SSL_CERT_DIR` replace them. They are
/// read once: it takes hundreds of files, and whoever dials asks for them. A list that was changed counts after a restart.
pub fn system_authorities() -> Vec<Certificate> {
    static READ: Mutex<Vec<Certificate>> = Mutex::new(Vec::new());
    once(&READ, read_system_authorities)
}

/// What was found at the first time that something was found. Who asks meanwhile waits for it.
fn once<T: Clone>(found: &Mutex<Vec<T>>, read: impl FnOnce() -> Vec<T>) -> Vec<T> {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_empty() {
        *found = read();
    }
    found.clone()
}

/// What cannot be read is left out: systems carry certificates that no verifier takes.
fn read_system_authorities() -> Vec<Certificate> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "this system has no list of trusted authorities");
    }
    let parsed = found.certs.iter().filter_map(|der| Certificate::from_der(der).ok());
    parsed.filter(crypto::tls::can_be_root).collect()
}

fn certificates(what: &'static str, text: &str) -> Result<Vec<Certificate>, CredentialsError> {
    Certificate::many_from_pem(text).map_err(|error| CredentialsError::malformed(what, error))
}

fn read(path: &Path) -> Result<String, CredentialsError> {
    fs::read_to_string(path).map_err(|source| CredentialsError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn what_many_want_at_once_is_read_once() {
        let (found, reads, start) = (Mutex::new(Vec::new()), AtomicUsize::new(0), Barrier::new(8));
        let read = |found: &[u8]| {
            reads.fetch_add(1, Ordering::Relaxed);
            found.to_vec()
        };
        assert!(once(&found, || read(&[])).is_empty(), "nothing may be something later");
        thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    start.wait();
                    assert_eq!(once(&found, || read(&[1])), [1]);
                });
            }
        });
        assert_eq!(reads.into_inner(), 2);
    }
}
