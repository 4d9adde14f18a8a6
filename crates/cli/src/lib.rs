//! Manners that the tools share: tables, json and yaml, prompts, progress, exit codes, error rendering, completion.
//!
//! The crate knows nothing of clusters or commands: it takes values and writes them the way a person or a program
//! expects. It reads the environment only to learn what the terminal can do.

pub mod completion;
pub mod error;
pub mod examples;
pub mod exit;
pub mod later;
pub mod output;
mod ports;
pub mod progress;
pub mod prompt;
pub mod table;
pub mod unit;

pub use error::{Advice, render, warn};
pub use exit::Exit;
pub use output::{Format, Output};
pub use ports::ports;
pub use table::Table;

/// Runs a tool to its end: what went wrong goes to standard error, the [`Exit`] to the caller of the process.
pub fn finish(outcome: anyhow::Result<()>) -> std::process::ExitCode {
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(error) if error::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            // Nothing can be done when standard error is closed as well.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), render(&error).as_bytes());
            Exit::of(&error).into()
        }
    }
}
