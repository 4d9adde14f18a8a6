//! The program against a real server, as a person or a service manager runs it.

#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test that fails shall panic where it fails, and its stack is its own"
)]
#![allow(clippy::disallowed_methods, reason = "another process has its own clock")]

mod applications;
mod commands;
mod life;
mod outputs;
mod proxied;
mod recovery;
mod support;
