//! Telling the service manager how we are: the `sd_notify` protocol, a datagram with lines of `KEY=value`.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
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

    /// We begin anew in the same process; [`Notifier::ready`] follows. `now` is `CLOCK_MONOTONIC`, by which a manager
    /// (`Type=notify-reload`) tells this reload from an earlier one.
    pub fn reloading(&self, now: Duration) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// We are alive; to be said at least at the interval of [`watchdog`].
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
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

/// How often to call [`Notifier::alive`]: half of what the manager waits for. `usec` and `pid` are the values of
/// `WATCHDOG_USEC` and `WATCHDOG_PID`; nothing when nobody watches, or watches another process.
pub fn watchdog(usec: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(std::process::id())) {
        return None;
    }
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    Some(Duration::from_micros(usec / 2))
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
        notifier.reloading(Duration::from_millis(1500));
        notifier.alive();
        notifier.stopping();
        let mut buffer = [0; 64];
        for expected in ["READY=1", "RELOADING=1\nMONOTONIC_USEC=1500000", "WATCHDOG=1", "STOPPING=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        Notifier::new(None).unwrap().ready();
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_asks_and_only_when_it_means_us() {
        let us = std::process::id().to_string();
        for (usec, pid, expected) in [
            (Some("3000000"), Some(us.as_str()), Some(Duration::from_millis(1500))),
            (Some("3000000"), None, Some(Duration::from_millis(1500))),
            (Some("3000000"), Some("1"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
            (None, None, None),
        ] {
            assert_eq!(watchdog(usec, pid), expected, "{usec:?} {pid:?}");
        }
    }
}
