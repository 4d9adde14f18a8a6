//! The administrator's socket: whoever is the server's own user on its own host administers the cluster.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Its name in the data directory.
const NAME: &str = "admin.sock";

/// A path longer than this does not fit into a socket address.
const MAX_PATH: usize = 107;

/// Where the socket of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Listens on the socket, mode 0600 in a directory of mode 0700. What a killed process left behind is removed: the
/// lock of the data directory says that nobody else uses it.
///
/// # Errors
/// When the path is too long, holds something else, or the directory cannot be written.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let path = path(data_dir);
    if path.as_os_str().len() > MAX_PATH {
        let message = format!("{} is longer than {MAX_PATH} bytes; choose a shorter teleport.data_dir", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is no socket", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        drop(bind(directory.path()).unwrap());
        let listener = bind(directory.path()).unwrap();
        assert_eq!(fs::metadata(path(directory.path())).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        fs::remove_file(path(directory.path())).unwrap();
        fs::write(path(directory.path()), "mine").unwrap();
        assert_eq!(bind(directory.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
