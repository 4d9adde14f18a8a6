//! The keys that seal CA keys: from the files that the configuration names, or one of our own making.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crypto::{Random, SecretString};
use keystore::SealingKey;

use crate::{
    config::{Storage, StorageType},
    data_dir::write_durably,
};

/// The file of the key that is made when the configuration names none.
const OWN_KEY: &str = "sealing.key";

/// Why there are no sealing keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be read or written.
    #[error("sealing key {} cannot be {action}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is a cluster, and the key that was made for it is gone.
    #[error(
        "{} is missing, and the authorities in the store are sealed with it: restore it from your backup (a new key opens \
         nothing)",
        path.display()
    )]
    Lost {
        /// Where the key was.
        path: PathBuf,
    },
    /// A file holds something else.
    #[error("{} does not hold a sealing key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: keystore::Error,
    },
}

/// The keys: the first seals, all open.
///
/// Without configured files one is made at the first start, beside the embedded database: whoever can read one can
/// read the other, and somebody who only gets hold of a copy of the database (a backup, a disk) gets no CA key. With
/// `has_cluster` none is made: the store's authorities need the old one, and a new one in its place would hide what is lost.
///
/// # Errors
/// When a file cannot be read, holds no key, or our own is missing beside a store with a cluster.
pub(crate) fn load(
    storage: &Storage,
    data_dir: &Path,
    random: &Random,
    has_cluster: bool,
) -> Result<Vec<SealingKey>, Error> {
    if !storage.sealing_keys.is_empty() {
        return storage.sealing_keys.iter().map(|path| read(path)).collect();
    }
    if storage.kind == StorageType::Memory {
        return Ok(vec![SealingKey::generate(random).0]);
    }
    let path = data_dir.join(OWN_KEY);
    match read(&path) {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound && has_cluster => {
            Err(Error::Lost { path })
        }
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let (key, text) = SealingKey::generate(random);
            let written = write_durably(&path, format!("{}\n", text.expose()).as_bytes());
            written.map_err(|source| Error::File { path, action: "written", source })?;
            Ok(vec![key])
        }
        other => other.map(|key| vec![key]),
    }
}

fn read(path: &Path) -> Result<SealingKey, Error> {
    let path = path.to_owned();
    // Told, not refused: some mounts of secrets cannot have another mode.
    if let Some(mode) =
        std::fs::metadata(&path).ok().map(|file| file.permissions().mode()).filter(|mode| mode & 0o077 != 0)
    {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:04o}", mode & 0o7777),
            "others than the server's user may read this sealing key; chmod 0600"
        );
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => SealingKey::parse(&SecretString::new(text)).map_err(|source| Error::Key { path, source }),
        Err(source) => Err(Error::File { path, action: "read", source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn our_own_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Config::embedded().teleport.storage;
        let first = load(&storage, directory.path(), &Random::system(), false).unwrap();
        let second = load(&storage, directory.path(), &Random::system(), true).unwrap();
        assert_eq!(first[0].id(), second[0].id());
    }

    #[test]
    fn a_lost_key_of_a_cluster_is_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Config::embedded().teleport.storage;
        let error = load(&storage, directory.path(), &Random::system(), true).unwrap_err();
        assert!(error.to_string().contains("restore it from your backup"), "{error}");
        assert!(!directory.path().join(OWN_KEY).exists());
    }

    #[test]
    fn a_named_file_must_be_there_and_hold_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.key");
        let storage = Storage { sealing_keys: vec![path.clone()], ..Config::embedded().teleport.storage };
        assert!(matches!(load(&storage, directory.path(), &Random::system(), false), Err(Error::File { .. })));
        std::fs::write(&path, "junk").unwrap();
        assert!(matches!(load(&storage, directory.path(), &Random::system(), false), Err(Error::Key { .. })));
        std::fs::write(&path, "ab".repeat(32)).unwrap();
        assert_eq!(load(&storage, directory.path(), &Random::system(), false).unwrap().len(), 1);
    }
}
