//! The file that holds our process id.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A pid file, removed when dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

/// The pid file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("pid file {} cannot be written", path.display())]
pub struct PidFileError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl PidFile {
    /// Writes our process id, whole or not at all. An old file is replaced: who else runs is told by the lock on the
    /// data directory, never by a number in a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(path: impl Into<PathBuf>) -> Result<Self, PidFileError> {
        let path = path.into();
        match replace(&path, &format!("{}\n", std::process::id())) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(PidFileError { path, source }),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Nothing to be done about a directory that vanished meanwhile.
        let _ = fs::remove_file(&self.0);
    }
}

fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    // `create_new`: /run may be writable by others, and a symbolic link there must not lead us astray.
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary)?;
    file.write_all(content.as_bytes())?;
    drop(file);
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_our_id_and_goes_with_us() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }
}
