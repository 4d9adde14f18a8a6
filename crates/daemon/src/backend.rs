//! Chooses the storage adapter: the only file that names one.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use clock::Clock;
use crypto::Random;
use storage::{Backend, memory::Memory};
use storage_sqlite::Sqlite;

use crate::config::{Storage, StorageType};

/// The database in its directory.
const FILE: &str = "tessera.db";

/// The exit code after a write to the disk failed in a way that leaves unknown what is there (sysexits' EX_IOERR).
const EXIT_FATAL: i32 = 74;

/// Why there is no storage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The directory of the database cannot be made.
    #[error("storage directory {} cannot be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error("the store cannot be opened")]
    Open(#[from] storage_sqlite::OpenError),
}

/// Opens what the configuration names. Blocks while a database of an older format is migrated.
///
/// # Errors
/// When the directory or the file cannot be used.
pub(crate) fn open(storage: &Storage, clock: &Clock, random: &Random) -> Result<Arc<dyn Backend>, Error> {
    match storage.kind {
        StorageType::Memory => {
            tracing::warn!("storage is memory: nothing survives the end of this process");
            Ok(Arc::new(Memory::new(clock.clone(), random)))
        }
        StorageType::Sqlite => {
            let directory = |source| Error::Directory { path: storage.path.clone(), source };
            make_directory(&storage.path).map_err(directory)?;
            let options = storage_sqlite::Options { fatal: Arc::new(end_process), ..Default::default() };
            Ok(Arc::new(Sqlite::open(&storage.path.join(FILE), clock.clone(), random, options)?))
        }
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Ends the process at once: after a failed fsync only a new start knows what the disk holds.
fn end_process(reason: &str) {
    tracing::error!(reason, "the store cannot be written any more; the process ends");
    std::process::exit(EXIT_FATAL);
}
