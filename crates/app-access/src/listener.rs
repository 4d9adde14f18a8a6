//! Where programs on this machine knock.

use std::{
    fmt, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use domain::Error;
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
    /// When the address is none or taken.
    pub async fn bind(uri: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::invalid(format!("listen {uri}: {reason}"));
        if let Some(path) = uri.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            remove_stale(&path).await.map_err(|error| refuse(error.to_string()))?;
            let listener = UnixListener::bind(&path).map_err(|error| refuse(error.to_string()))?;
            return Ok(Self { inner: Inner::Unix(listener, path), place: uri.to_owned() });
        }
        let address =
            uri.strip_prefix("tcp://").ok_or_else(|| refuse("write tcp://address:port or unix:///path".into()))?;
        let listener = TcpListener::bind(address).await.map_err(|error| refuse(error.to_string()))?;
        let bound = listener.local_addr().map_err(|error| refuse(error.to_string()))?;
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
