//! The signals that a program of ours obeys.

use std::io;

use nix::sys::signal::{SigSet, Signal as Number};
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
    /// Lets signals wait, for this thread and those that it starts from now on, until [`Signals::install`] on this
    /// thread. A program that is started, or replaces itself, would otherwise die of a HUP that comes before its
    /// handlers: what waits survives `execve`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hold() -> io::Result<()> {
        Ok(ours().thread_block()?)
    }

    /// Takes over the signals, those that [`Signals::hold`] made wait first.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn install() -> io::Result<Self> {
        let signals = Self::handle()?;
        ours().thread_unblock()?;
        Ok(signals)
    }

    fn handle() -> io::Result<Self> {
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

fn ours() -> SigSet {
    [Number::SIGTERM, Number::SIGINT, Number::SIGQUIT, Number::SIGHUP, Number::SIGUSR1, Number::SIGUSR2]
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_before_the_handlers_waits_for_them() {
        Signals::hold().unwrap();
        // To this thread: another test's thread has no handler and would end the process.
        nix::sys::signal::raise(Number::SIGHUP).unwrap();
        let mut signals = Signals::install().unwrap();
        assert_eq!(signals.next().await, Signal::Reload);
    }
}
