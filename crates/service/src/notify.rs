//! Telling the service manager how we are: the `sd_notify` protocol, a datagram with lines of `KEY=value`.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// Speaks to the service manager, or to nobody when there is none.
#[derive(Debug, Default)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// `address` is the value of `NOTIFY_SOCKET`: a path, or `@name` for an abstract socket; `None` speaks to nobody.
    ///
    /// # Errors
    /// There is such an address, but nothing to be reached at it.
    pub fn new(address: Option<&str>) -> io::Result<Self> {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Ok(Self(None)) };
        let socket = UnixDatagram::unbound()?;
        match address.strip_prefix('@') {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(address)?,
        }
        // A manager that does not read must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(socket)))
    }

    /// Start-up is done.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// We begin anew in the same process; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.send("RELOADING=1");
    }

    /// We are going down.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::warn!(%error, message, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_ready_and_stopping() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str()).unwrap();
        notifier.ready();
        notifier.stopping();
        let mut buffer = [0; 64];
        for expected in ["READY=1", "STOPPING=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        Notifier::new(None).unwrap().ready();
    }
}
