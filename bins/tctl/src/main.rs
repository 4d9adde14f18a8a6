//! The administrator's tool of a Tessera cluster.

#![allow(clippy::large_futures, reason = "one command runs at a time, and its future is boxed once, in main")]

mod args;
mod cluster;
mod commands;
mod session;

use std::process::ExitCode;

use crate::{args::Cli, session::Session};

fn main() -> ExitCode {
    let cli: Cli = cli::examples::parse();
    let mut session = Session::new(cli.globals);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(Box::pin(commands::run(cli.command, &mut session))));
    cli::finish(outcome)
}
