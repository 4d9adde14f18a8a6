//! From what SQLite says to what callers act on.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi;
use storage::Error;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("{} has format {found}, this version reads formats up to {known}: start a newer version, or restore the copy made before the upgrade", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// It is an SQLite file, but not one of ours.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot open {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open the database {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { path: path.to_owned(), source }
    }

    pub(crate) fn io(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }
}

/// What a failed statement means to the caller; nothing was written.
pub(crate) fn refused(error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt { what: error.to_string() },
        Some(ErrorCode::DiskFull) => Error::Unavailable { reason: "the disk is full".to_owned() },
        Some(ErrorCode::ReadOnly) => Error::Unavailable { reason: "the database is read-only".to_owned() },
        _ => Error::Unavailable { reason: error.to_string() },
    }
}

/// Whether the file can no longer be trusted: after a failed `fsync` the kernel may have dropped what we wrote and say
/// "fine" the next time.
pub(crate) fn is_fatal(error: &rusqlite::Error, committing: bool) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    let fsync = matches!(failure.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC);
    fsync || (committing && failure.code == ErrorCode::SystemIoFailure)
}

/// The threads of this store are gone.
pub(crate) fn stopped() -> Error {
    Error::Unavailable { reason: "storage is closed".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_lost_data_is_fatal() {
        for (code, statement, commit) in [
            (ffi::SQLITE_IOERR_FSYNC, true, true),
            (ffi::SQLITE_IOERR_DIR_FSYNC, true, true),
            (ffi::SQLITE_IOERR_WRITE, false, true),
            (ffi::SQLITE_FULL, false, false),
            (ffi::SQLITE_READONLY, false, false),
            (ffi::SQLITE_BUSY, false, false),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!((is_fatal(&error, false), is_fatal(&error, true)), (statement, commit), "{error}");
        }
    }
}
