//! The public certificate: what browsers and programs with the system's authorities see. Several may be served, chosen
//! by the name that the client asks for.

use std::{fs, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use crypto::{KeyPair, tls::CertificateChain, x509::Certificate};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// The public certificates, replaceable while they are served.
#[derive(Debug)]
pub struct WebCertificate(ArcSwap<Vec<Served>>);

#[derive(Debug)]
struct Served {
    names: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl WebCertificate {
    /// Serves these chains (leaf first, with its key); the first one also for names that none is for.
    ///
    /// # Errors
    /// A key that is not its leaf's.
    pub fn new(pairs: &[(Vec<Certificate>, KeyPair)]) -> Result<Arc<Self>, crypto::tls::Error> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(served(pairs)?))))
    }

    /// Serves these from the next handshake on; connections that stand are not touched.
    ///
    /// # Errors
    /// A key that is not its leaf's; the old ones stay.
    pub fn set(&self, pairs: &[(Vec<Certificate>, KeyPair)]) -> Result<(), crypto::tls::Error> {
        self.0.store(Arc::new(served(pairs)?));
        Ok(())
    }
}

fn served(pairs: &[(Vec<Certificate>, KeyPair)]) -> Result<Vec<Served>, crypto::tls::Error> {
    let served = |(chain, key): &(Vec<Certificate>, KeyPair)| {
        let names = chain.first().map(|leaf| leaf.dns_names().iter().map(|name| name.to_ascii_lowercase()).collect());
        Ok(Served { names: names.unwrap_or_default(), key: CertificateChain::new(chain, key)?.certified() })
    };
    pairs.iter().map(served).collect()
}

impl ResolvesServerCert for WebCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.0.load();
        let chosen = hello.server_name().and_then(|name| {
            let exact = served.iter().find(|served| served.names.iter().any(|own| own == name));
            exact.or_else(|| served.iter().find(|served| served.names.iter().any(|own| covers(own, name))))
        });
        chosen.or(served.first()).map(|served| Arc::clone(&served.key))
    }
}

/// A wildcard stands for one label (RFC 6125 §6.4.3).
fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_prefix("*.").is_some_and(|parent| name.split_once('.').is_some_and(|(_, rest)| rest == parent))
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
