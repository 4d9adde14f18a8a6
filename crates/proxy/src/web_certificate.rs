//! The public certificate: what browsers and programs with the system's authorities see. Several may be served, chosen
//! by the name that the client asks for.

use std::{fs, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use clock::Timestamp;
use crypto::{KeyPair, tls::CertificateChain, x509::Certificate};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The public certificates, replaceable while they are served.
#[derive(Debug)]
pub struct WebCertificate {
    configured: ArcSwap<Vec<Served>>,
    /// From an ACME authority: each for the names that it has, before the others.
    issued: ArcSwap<Vec<Served>>,
    is_stand_in: bool,
}

#[derive(Debug)]
struct Served {
    names: Vec<String>,
    fingerprint: String,
    ends: Timestamp,
    key: Arc<CertifiedKey>,
}

type Pair = (Vec<Certificate>, KeyPair);

impl WebCertificate {
    /// Serves these chains (leaf first, with its key); the first one also for names that none is for.
    ///
    /// # Errors
    /// A key that is not its leaf's.
    pub fn new(pairs: &[Pair]) -> Result<Arc<Self>, crypto::tls::Error> {
        Self::of(pairs, false)
    }

    /// The same with certificates that no browser trusts, until there are others: people are warned of them.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn stand_in(pairs: &[Pair]) -> Result<Arc<Self>, crypto::tls::Error> {
        Self::of(pairs, true)
    }

    fn of(pairs: &[Pair], is_stand_in: bool) -> Result<Arc<Self>, crypto::tls::Error> {
        let configured = ArcSwap::from_pointee(served(pairs)?);
        Ok(Arc::new(Self { configured, issued: ArcSwap::default(), is_stand_in }))
    }

    /// Serves these from the next handshake on, and says whether they are others than before; connections that stand are
    /// not touched.
    ///
    /// # Errors
    /// A key that is not its leaf's; the old ones stay.
    pub fn set(&self, pairs: &[Pair]) -> Result<bool, crypto::tls::Error> {
        let new = served(pairs)?;
        let fingerprints = |list: &[Served]| list.iter().map(|served| served.fingerprint.clone()).collect::<Vec<_>>();
        let is_new = fingerprints(&new) != fingerprints(&self.configured.load());
        self.configured.store(Arc::new(new));
        Ok(is_new)
    }

    /// The same for those that an ACME authority has issued.
    pub(crate) fn set_issued(&self, pairs: &[Pair]) -> Result<(), crypto::tls::Error> {
        self.issued.store(Arc::new(served(pairs)?));
        Ok(())
    }

    /// The certificates that are served, each with its names and fingerprint.
    pub fn described(&self) -> Vec<String> {
        self.configured.load().iter().map(Served::described).collect()
    }

    /// What an administrator should know; empty when all is well.
    pub(crate) fn notice(&self, now: Timestamp) -> String {
        let (configured, issued) = (self.configured.load(), self.issued.load());
        let is_over = |served: &&Served| served.ends <= now;
        if let Some(over) = issued.iter().chain(configured.iter()).find(is_over) {
            return format!("the certificate of the public port has ended: {}", over.described());
        }
        match configured.first().filter(|_| self.stands_in()) {
            Some(first) => format!(
                "the public port shows a certificate that browsers do not trust: {}; set https_keypairs, or acme",
                first.described()
            ),
            None => String::new(),
        }
    }

    /// Whether what is shown comes from the cluster's own authority, which nobody trusts without being told.
    pub(crate) fn stands_in(&self) -> bool {
        let (configured, issued) = (self.configured.load(), self.issued.load());
        let has_issued = |name: &String| issued.iter().any(|served| served.names.contains(name));
        self.is_stand_in && configured.first().is_some_and(|first| !first.names.iter().any(has_issued))
    }
}

impl Served {
    fn described(&self) -> String {
        format!("{} (SHA-256 {}, until {})", self.names.join(", "), self.fingerprint, self.ends)
    }
}

fn served(pairs: &[Pair]) -> Result<Vec<Served>, crypto::tls::Error> {
    let served = |(chain, key): &Pair| {
        let certified = CertificateChain::new(chain, key)?.certified();
        let leaf = chain.first().ok_or(crypto::tls::Error::Mismatch)?;
        Ok(Served {
            names: leaf.dns_names().iter().map(|name| name.to_ascii_lowercase()).collect(),
            fingerprint: leaf.fingerprint(),
            ends: leaf.not_after(),
            key: certified,
        })
    };
    pairs.iter().map(served).collect()
}

impl ResolvesServerCert for WebCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (configured, issued) = (self.configured.load(), self.issued.load());
        let chosen = hello.server_name().and_then(|name| {
            let exact = |list: &[Served]| list.iter().position(|served| served.names.iter().any(|own| own == name));
            let own = exact(&issued).map(|at| &issued[at]).or_else(|| exact(&configured).map(|at| &configured[at]));
            own.or_else(|| configured.iter().find(|served| served.names.iter().any(|own| covers(own, name))))
        });
        chosen.or(configured.first()).map(|served| Arc::clone(&served.key))
    }
}

/// Whether a certificate with this name, which may be a wildcard, is for the host `name`. A wildcard stands for one label
/// (RFC 6125 §6.4.3).
pub fn covers(pattern: &str, name: &str) -> bool {
    let below = |parent: &str| name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent));
    pattern.eq_ignore_ascii_case(name) || pattern.strip_prefix("*.").is_some_and(below)
}

/// A certificate chain and its key, in two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// A pair of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no certificate in it that can be read.
    #[error("{}: no certificate chain", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: crypto::x509::Error,
    },
    /// There is no key in it that can be read.
    #[error("{}: no private key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: crypto::KeyError,
    },
}

impl KeyPairFiles {
    /// Reads both.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn load(&self) -> Result<(Vec<Certificate>, KeyPair), FilesError> {
        let read =
            |path: &PathBuf| fs::read_to_string(path).map_err(|source| FilesError::Read { path: path.clone(), source });
        let chain = Certificate::many_from_pem(&read(&self.certificate)?)
            .map_err(|source| FilesError::Certificate { path: self.certificate.clone(), source })?;
        let key = crypto::SecretString::new(read(&self.key)?);
        let key =
            KeyPair::from_pem(key.expose()).map_err(|source| FilesError::Key { path: self.key.clone(), source })?;
        Ok((chain, key))
    }
}
