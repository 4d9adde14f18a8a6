//! The sockets in the data directory, for the server's own user on its own host: the administrator's, through which the
//! cluster is administered, and the debug socket, which shows how the process is and changes what it logs.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use service::Handover;
use tokio::net::UnixListener;

/// The administrator's socket.
pub(crate) const ADMIN: &str = "admin.sock";

/// The debug socket.
pub(crate) const DEBUG: &str = "debug.sock";

/// A path longer than this does not fit into a socket address.
const MAX_PATH: usize = 107;

/// Where a socket of a data directory is.
pub(crate) fn path(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join(name)
}

/// Where the administrator's socket of a data directory is.
pub fn admin_socket(data_dir: &Path) -> PathBuf {
    path(data_dir, ADMIN)
}

/// Takes the sockets away at the end, but for those that the next program image goes on serving.
pub(crate) fn remove(data_dir: &Path, handover: Option<&Handover>) {
    for name in [ADMIN, DEBUG] {
        if !handover.is_some_and(|handover| handover.keeps(name)) {
            // It may never have been there.
            let _ = fs::remove_file(path(data_dir, name));
        }
    }
}

/// Listens on a socket, or takes it over from the program image before. Mode 0600. What a
/// killed process left behind is removed: the lock of the data directory says that nobody else uses it.
///
/// # Errors
/// When the path is too long, holds something else, or the directory cannot be written.
pub(crate) fn bind(data_dir: &Path, name: &str, handover: Option<&Handover>) -> io::Result<UnixListener> {
    let path = path(data_dir, name);
    let listener = match handover.and_then(|handover| handover.take_unix(name, &path)) {
        Some(inherited) => UnixListener::from_std(inherited)?,
        None => open(&path)?,
    };
    if let Some(handover) = handover {
        handover.keep(name, &listener)?;
    }
    Ok(listener)
}

fn open(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > MAX_PATH {
        let message = format!("{} is longer than {MAX_PATH} bytes; choose a shorter teleport.data_dir", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is no socket", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        drop(bind(directory.path(), ADMIN, None).unwrap());
        let listener = bind(directory.path(), ADMIN, None).unwrap();
        assert_eq!(fs::metadata(path(directory.path(), ADMIN)).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        fs::remove_file(path(directory.path(), ADMIN)).unwrap();
        fs::write(path(directory.path(), ADMIN), "mine").unwrap();
        assert_eq!(bind(directory.path(), ADMIN, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
