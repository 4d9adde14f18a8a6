//! The user's tool of a Tessera cluster.

#![allow(clippy::large_futures, reason = "one command runs at a time, and its future is boxed once, in main")]

mod args;
mod commands;
mod home;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::examples::parse::<args::Cli>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(Box::pin(commands::run(cli.globals, cli.command))));
    cli::finish(outcome)
}
