//! The signals that a program of ours obeys.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// TERM or INT: stop fast.
    Stop,
    /// QUIT: finish what is there, take nothing new, then stop.
    StopGracefully,
    /// HUP: begin anew with the configuration as it is now (a bot: renew now).
    Reload,
    /// USR1: write diagnostics to the log (a bot: renew now).
    User1,
    /// USR2: begin anew, perhaps with another program file (a bot: nothing).
    User2,
}

/// The signals of this process, from the moment of [`Signals::install`] on.
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    /// Takes over the signals.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.quit.recv() => Signal::StopGracefully,
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::User1,
            _ = self.user2.recv() => Signal::User2,
        }
    }
}
