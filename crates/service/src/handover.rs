//! Keeps ports open while one program image replaces another in the same process.
//!
//! Copies of the listeners are kept aside and, at the replacement, laid into a socket pair as one message whose other
//! end becomes the new image's standard input. Whoever connects meanwhile waits in the kernel's queue. Descriptors
//! that travel in a message need no `unsafe` to be taken over, unlike descriptors that are inherited by number.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

/// Listeners that one message may carry; a process of ours has no more than a handful.
const MAX_LISTENERS: usize = 16;

/// Bytes of all names together.
const MAX_NAMES: usize = 1024;

/// Listeners by name. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Handover(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inherited: BTreeMap<String, OwnedFd>,
    kept: BTreeMap<String, OwnedFd>,
}

impl Handover {
    /// Takes over what the image before us laid into our standard input.
    ///
    /// # Errors
    /// There is no such message.
    pub fn receive(stdin: impl AsFd) -> io::Result<Self> {
        let mut names = [0; MAX_NAMES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LISTENERS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = rustix::net::recvmsg(stdin, &mut [IoSliceMut::new(&mut names)], &mut control, flags)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let listeners = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(listeners) => listeners.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let names = String::from_utf8_lossy(&names[..received.bytes]).into_owned();
        let inherited = names.lines().map(str::to_owned).zip(listeners).collect();
        Ok(Self(Arc::new(Mutex::new(State { inherited, kept: BTreeMap::new() }))))
    }

    /// Lays the kept listeners into a socket that the next image gets as its standard input.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn send(&self) -> io::Result<OwnedFd> {
        let kept = std::mem::take(&mut self.lock().kept);
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let names = kept.keys().map(String::as_str).collect::<Vec<_>>().join("\n");
        let listeners: Vec<_> = kept.values().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LISTENERS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if names.len() > MAX_NAMES || !control.push(SendAncillaryMessage::ScmRights(&listeners)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many listeners to hand over"));
        }
        rustix::net::sendmsg(ours, &[IoSlice::new(names.as_bytes())], &mut control, SendFlags::empty())?;
        Ok(theirs)
    }

    /// Keeps a copy of a listener for the next image.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn keep(&self, name: &str, listener: impl AsFd) -> io::Result<()> {
        let copy = listener.as_fd().try_clone_to_owned()?;
        self.lock().kept.insert(name.to_owned(), copy);
        Ok(())
    }

    /// Whether a listener of this name goes to the next image.
    pub fn keeps(&self, name: &str) -> bool {
        self.lock().kept.contains_key(name)
    }

    /// The TCP listeners that go to the next image, and where they listen.
    pub fn kept_tcp(&self) -> Vec<(String, SocketAddr)> {
        let state = self.lock();
        let address = |listener: &OwnedFd| TcpListener::from(listener.try_clone().ok()?).local_addr().ok();
        state.kept.iter().filter_map(|(name, listener)| Some((name.clone(), address(listener)?))).collect()
    }

    /// Forgets everything: there will be no next image, and a port that nobody serves must not look open.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    /// The TCP listener of this name, when it listens where it should now. Another one is closed, so that it is not in
    /// the way of the new one.
    pub fn take_tcp(&self, name: &str, wanted: SocketAddr) -> Option<TcpListener> {
        let listener = TcpListener::from(self.lock().inherited.remove(name)?);
        let found = listener.local_addr().ok()?;
        // Port 0 asks for any port; the one that is known already is the best of them.
        let fits = found.ip() == wanted.ip() && (wanted.port() == 0 || found.port() == wanted.port());
        listener.set_nonblocking(true).ok()?;
        fits.then_some(listener)
    }

    /// The Unix listener of this name, when it listens at `path`.
    pub fn take_unix(&self, name: &str, path: &Path) -> Option<UnixListener> {
        let listener = UnixListener::from(self.lock().inherited.remove(name)?);
        let found = listener.local_addr().ok()?;
        listener.set_nonblocking(true).ok()?;
        (path.exists() && found.as_pathname() == Some(path)).then_some(listener)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_stays_open_from_one_image_to_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, unix) = (port.local_addr().unwrap(), UnixListener::bind(&path).unwrap());
        let old = Handover::default();
        old.keep("auth", &port).unwrap();
        old.keep("other", &port).unwrap();
        old.keep("admin", &unix).unwrap();
        assert!(old.keeps("auth") && !old.keeps("diag"));
        assert_eq!(old.kept_tcp(), [("auth".to_owned(), address), ("other".to_owned(), address)]);
        let stdin = old.send().unwrap();
        drop((port, unix));
        let waiting = TcpStream::connect(address).expect("the port was closed between two images");

        let new = Handover::receive(&stdin).unwrap();
        let elsewhere = SocketAddr::new([127, 0, 0, 2].into(), address.port());
        assert!(new.take_tcp("other", elsewhere).is_none());
        assert!(new.take_tcp("diag", address).is_none());
        let port = new.take_tcp("auth", address).unwrap();
        port.set_nonblocking(false).unwrap();
        assert_eq!(port.accept().unwrap().1, waiting.local_addr().unwrap());
        assert!(new.take_unix("admin", &path).is_some());
        assert!(Handover::receive(&stdin).is_err(), "a message was there twice");
    }

    #[test]
    fn what_is_forgotten_closes() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let handover = Handover::default();
        handover.keep("auth", &port).unwrap();
        drop(port);
        TcpStream::connect(address).unwrap();
        handover.clear();
        assert!(TcpStream::connect(address).is_err());
    }
}
