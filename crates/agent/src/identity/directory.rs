//! The identity on disk: `<data dir>/host_uuid`, shared by all services of the machine, and one file for each role.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clock::Timestamp;
use crypto::{KeyPair, Random, SecretBytes, SecretString};
use domain::{Error, role::SystemRole};
use serde::{Deserialize, Serialize, Serializer};

use super::{Certificates, Identity};

/// Where a host's identity is kept.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
    role: SystemRole,
}

/// What is kept. The key that is asked with is written before it is asked with: an answer that got lost is asked for
/// again with the same key.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The identity.
    pub(crate) identity: Option<Identity>,
    /// The key that a successor was asked for with and that nothing was issued for yet.
    pub(crate) pending: Option<KeyPair>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<Certificates>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pending_key: Option<SecretString>,
}

fn exposed<S: Serializer>(key: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(SecretString::expose).serialize(serializer)
}

/// Room for the text of an identity: one that grows would leave copies of its keys behind.
const ROOM: usize = 64 * 1024;

const VERSION: u32 = 1;

impl Directory {
    pub(crate) fn new(root: &Path, role: SystemRole) -> Self {
        Self { root: root.to_owned(), role }
    }

    /// The id of this machine, made at the first look.
    pub(crate) fn host_id(&self, random: &Random) -> Result<String, Error> {
        let path = self.root.join("host_uuid");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let id = text.trim().to_owned();
                domain::names::UUID.check(&path.display().to_string(), &id)?;
                Ok(id)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = random.uuid().to_string();
                self.write(&path, format!("{id}\n").as_bytes(), 0o644)?;
                Ok(id)
            }
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    pub(crate) fn load(&self) -> Result<State, Error> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => SecretBytes::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let damaged = |reason: String| {
            Error::invalid(format!(
                "{} is damaged ({reason}); move it and {} away and start with a join token: this machine then joins as a new \
                 host",
                path.display(),
                self.root.join("host_uuid").display()
            ))
        };
        let stored: Stored = serde_json::from_slice(text.expose()).map_err(|error| damaged(error.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(format!("version {} is not known here", stored.version)));
        }
        let key = |text: Option<SecretString>| {
            text.map(|text| KeyPair::from_pem(text.expose())).transpose().map_err(|error| damaged(error.to_string()))
        };
        let pending = key(stored.pending_key)?;
        let identity = match (key(stored.key)?, stored.certificates) {
            (Some(key), Some(certificates)) => {
                Some(Identity::new(key, certificates).map_err(|error| damaged(error.to_string()))?)
            }
            _ => None,
        };
        Ok(State { identity, pending })
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), Error> {
        let pem = |key: &KeyPair| key.to_pkcs8_pem().map_err(|error| Error::internal(error.to_string()));
        let stored = Stored {
            version: VERSION,
            key: state.identity.as_ref().map(|identity| pem(identity.key())).transpose()?,
            certificates: state.identity.as_ref().map(|identity| identity.certificates().clone()),
            pending_key: state.pending.as_ref().map(pem).transpose()?,
        };
        let mut text = Vec::with_capacity(ROOM);
        let written = serde_json::to_writer_pretty(&mut text, &stored);
        let text = SecretBytes::new(text);
        written.map_err(|error| Error::internal(error.to_string()))?;
        self.write(&self.path(), text.expose(), 0o600)
    }

    /// An identity of this machine as something else, which shows that it is this machine. One that cannot be read shows
    /// nothing.
    pub(crate) fn companion(&self, now: Timestamp) -> Option<Identity> {
        let others =
            [SystemRole::Proxy, SystemRole::App, SystemRole::Node].into_iter().filter(|role| *role != self.role);
        let mut states = others.filter_map(|role| Self::new(&self.root, role).load().ok());
        states.find_map(|state| state.identity.filter(|identity| identity.not_after() > now))
    }

    fn path(&self) -> PathBuf {
        self.root.join("hosts").join(format!("{}.json", self.role.as_str().to_ascii_lowercase()))
    }

    /// Whole or not at all, and durable when it returns.
    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(&self.root);
        let temporary = path.with_extension("new");
        let attempt = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            drop(fs::remove_file(&temporary));
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(parent)?.sync_all()
        };
        attempt().map_err(|error| failed("write", path, &error))
    }
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::invalid(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use crypto::Algorithm;

    use super::*;

    #[test]
    fn the_host_id_is_made_once_and_shared_by_all_roles() {
        let root = tempfile::tempdir().unwrap();
        let random = Random::seeded(1);
        let first = Directory::new(root.path(), SystemRole::App).host_id(&random).unwrap();
        assert_eq!(Directory::new(root.path(), SystemRole::Proxy).host_id(&random).unwrap(), first);
        fs::write(root.path().join("host_uuid"), "me").unwrap();
        assert!(Directory::new(root.path(), SystemRole::App).host_id(&random).is_err());
    }

    #[test]
    fn a_pending_key_outlives_a_restart_and_only_its_owner_reads_it() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path(), SystemRole::App);
        assert!(directory.load().unwrap().pending.is_none());
        let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
        directory.save(&State { identity: None, pending: Some(key.clone()) }).unwrap();
        let again = directory.load().unwrap();
        assert_eq!(again.pending.expect("a key").public(), key.public());
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(directory.path(), "{").unwrap();
        let error = directory.load().err().expect("damaged");
        assert!(error.message.contains("join token"), "{error}");
    }
}
