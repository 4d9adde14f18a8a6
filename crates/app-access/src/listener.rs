//! Where programs on this machine knock.

use std::{
    fmt, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use domain::{Error, error::Kind};
use net::BoxIo;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A listener of `tcp://address:port` or `unix:///path`.
pub struct Listener {
    inner: Inner,
    place: String,
}

enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// Who can knock at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Programs that may open a file; no browser does.
    Socket,
    /// Every program of this machine.
    Machine,
    /// Other machines, too.
    Network,
}

impl Listener {
    /// Listens. Port 0 takes a free one; see the [`fmt::Display`] of the result.
    ///
    /// # Errors
    /// Conflict when the address is taken, denied when it is not for this user, invalid when it is none.
    pub async fn bind(uri: &str) -> Result<Self, Error> {
        let refuse = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::AddrInUse => Kind::Conflict,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Invalid,
            };
            Error::new(kind, format!("listen {uri}: {error}"))
        };
        if let Some(path) = uri.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            remove_stale(&path).await.map_err(refuse)?;
            let listener = UnixListener::bind(&path).map_err(refuse)?;
            open_to_those_who_enter(&path).map_err(refuse)?;
            return Ok(Self { inner: Inner::Unix(listener, path), place: uri.to_owned() });
        }
        let address = uri
            .strip_prefix("tcp://")
            .ok_or_else(|| Error::invalid(format!("listen {uri}: write tcp://address:port or unix:///path")))?;
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let bound = listener.local_addr().map_err(refuse)?;
        if !bound.ip().is_loopback() {
            tracing::warn!(address = %bound, "other machines can reach this listener, and whoever reaches it acts as this identity");
        }
        Ok(Self { inner: Inner::Tcp(listener), place: format!("tcp://{bound}") })
    }

    /// Who can knock.
    pub(crate) fn reach(&self) -> Reach {
        match &self.inner {
            Inner::Unix(..) => Reach::Socket,
            Inner::Tcp(listener) if listener.local_addr().is_ok_and(|bound| bound.ip().is_loopback()) => Reach::Machine,
            Inner::Tcp(_) => Reach::Network,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<BoxIo> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Inner::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Inner::Unix(_, path) = &self.inner {
            // Somebody may have removed it already; the next start does it otherwise.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A socket that nobody listens at any more is removed; anything else is left alone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if found.file_type().is_socket() && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Lets the directory decide who connects, which takes writing: a service's umask would shut out everybody. Only where not
/// everybody may enter, and where nobody but us and root could put another file into the socket's place.
fn open_to_those_who_enter(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Ok(()) };
    let (directory, socket) = (std::fs::metadata(directory)?, std::fs::symlink_metadata(path)?);
    let is_ours = [0, socket.uid()].contains(&directory.uid()) && directory.mode() & 0o022 == 0;
    if is_ours && directory.mode() & 0o007 == 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::unwrap_used, reason = "a test that fails shall panic where it fails")]
    async fn a_directory_that_not_everybody_may_enter_decides_who_connects() {
        let place = std::env::temp_dir().join(format!("tessera-listener-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        for (mode, is_open) in [(0o750, true), (0o700, true), (0o755, false), (0o770, false), (0o711, false)] {
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode)).unwrap();
            let path = place.join("app.sock");
            let listener = Listener::bind(&format!("unix://{}", path.display())).await.unwrap();
            let found = std::fs::metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(found == 0o666, is_open, "{mode:o}: {found:o}");
            drop(listener);
        }
        std::fs::remove_dir(&place).unwrap();
    }
}
