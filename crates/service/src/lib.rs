//! What every long-running program of ours is made of: supervised tasks, readiness, soft and hard stop, signals, the
//! service manager's notifications, the pid file and the diagnostics endpoint.
//!
//! This crate must never know what the program is about; tasks and components are names handed in.

pub mod diagnostics;
mod handover;
mod notify;
mod pid_file;
mod readiness;
mod signals;
mod stop;
mod supervisor;

pub use handover::Handover;
pub use notify::{Notifier, watchdog};
pub use pid_file::{PidFile, PidFileError};
pub use readiness::{Component, ComponentReport, Readiness, Report, State};
pub use signals::{Signal, Signals};
pub use stop::Stop;
pub use supervisor::{Outcome, Policy, Restarts, Supervisor, TaskError};
