//! Places that files are written to: a directory, or memory. A reader sees the old file or the new one, never a half.

mod acl;
mod directory;
mod init;
mod names;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crypto::SecretBytes;
use domain::error::Kind;

pub use self::{
    directory::DirectorySink,
    init::{InitRequest, init},
};
use crate::config::Destination;

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A symbolic link stands in the path and is not to be followed.
    #[error(
        "{} goes through a symbolic link; use the real path, or symlinks: insecure when the link is yours", path.display()
    )]
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// Access lists are required and cannot be kept.
    #[error("cannot keep access lists on {}: {reason}; use a file system that has them, or acls: off", path.display())]
    Acl {
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A user or group is not known here.
    #[error("{place}: {what} {name:?} does not exist on this machine; a number is taken as it is")]
    UnknownName {
        /// The flag, or the key and the directory that it is for.
        place: String,
        /// User or group.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Another process holds the directory.
    #[error(
        "another tbot{holder} uses {}: give each tbot its own storage directory (--storage), or stop the other one",
        path.display()
    )]
    Locked {
        /// The process, in brackets, when it is known.
        holder: String,
        /// The directory.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{place} exists already; --overwrite replaces it")]
    Exists {
        /// What.
        place: String,
    },
    /// This build cannot write there.
    #[error("destination {0} is not supported yet")]
    Unsupported(String),
    /// Something that the caller asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl DestinationError {
    /// The kind that this is in the closed list.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Locked { .. } => Kind::Conflict,
            Self::Exists { .. } => Kind::AlreadyExists,
            Self::Unsupported(_) => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.into(), source: error.into() }
    }
}

/// Whether a user and a group that flags name are known on this machine.
///
/// # Errors
/// Names the flag of the first that is not.
pub fn check_known(user: &str, group: &str) -> Result<(), DestinationError> {
    names::user(user, "--user")?;
    names::group(group, "--group").map(drop)
}

/// A place for files, opened.
pub enum Sink {
    /// A directory.
    Directory(DirectorySink),
    /// Nothing persists.
    Memory(Mutex<BTreeMap<String, SecretBytes>>),
}

impl Sink {
    /// Opens a place and creates a directory that is missing, readable by its owner only.
    ///
    /// # Errors
    /// See [`DestinationError`].
    pub fn open(destination: &Destination) -> Result<Self, DestinationError> {
        match destination {
            Destination::Directory(directory) => DirectorySink::open(directory).map(Self::Directory),
            Destination::Memory => Ok(Self::Memory(Mutex::default())),
            Destination::KubernetesSecret(_) => Err(DestinationError::Unsupported(destination.describe())),
        }
    }

    /// Replaces a file. When this returns, the new content is on the disk.
    ///
    /// # Errors
    /// See [`DestinationError`]; the old content stands then.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), DestinationError> {
        self.write_all(&[(name, content)])
    }

    /// Replaces files that belong together, in this order, once all of them are on the disk.
    ///
    /// # Errors
    /// See [`DestinationError`]; unless a file could not be put in its place, all that was there stands then.
    pub fn write_all(&self, files: &[(&str, &[u8])]) -> Result<(), DestinationError> {
        match self {
            Self::Directory(directory) => directory.write_all(files),
            Self::Memory(held) => {
                let new = files.iter().map(|(name, content)| ((*name).to_owned(), SecretBytes::from(*content)));
                held.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
                Ok(())
            }
        }
    }

    /// Reads a file; nothing when there is none.
    ///
    /// # Errors
    /// See [`DestinationError`].
    pub fn read(&self, name: &str) -> Result<Option<SecretBytes>, DestinationError> {
        match self {
            Self::Directory(directory) => directory.read(name),
            Self::Memory(files) => Ok(files.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()),
        }
    }

    /// Removes a file; one that is not there is as good.
    ///
    /// # Errors
    /// See [`DestinationError`].
    pub fn remove(&self, name: &str) -> Result<(), DestinationError> {
        match self {
            Self::Directory(directory) => directory.remove(name),
            Self::Memory(files) => {
                files.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                Ok(())
            }
        }
    }

    /// Whether what is written survives the process.
    pub fn is_durable(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// Refuses two names for one directory: what is written there under the one would destroy what is there under the other.
    ///
    /// # Errors
    /// Invalid, naming both.
    pub(crate) fn check_apart<'a>(
        named: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Result<(), DestinationError> {
        let mut seen: Vec<(&str, (u64, u64))> = Vec::new();
        for (name, sink) in named {
            let Self::Directory(directory) = sink else { continue };
            let place = directory.place()?;
            if let Some((other, _)) = seen.iter().find(|(_, taken)| *taken == place) {
                let message =
                    format!("{name} and {other} share a destination ({}); give each its own", sink.describe());
                return Err(DestinationError::Invalid(message));
            }
            seen.push((name, place));
        }
        Ok(())
    }

    /// How it is called in messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Directory(directory) => format!("directory: {}", directory.path().display()),
            Self::Memory(_) => "memory".into(),
        }
    }
}
