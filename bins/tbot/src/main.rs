//! The Tessera bot: joins a cluster, keeps a machine's identity fresh and writes it where programs find it.

mod args;
mod commands;
mod forms;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::read(std::env::args_os().collect()).unwrap_or_else(|error| error.exit());
    // One thread: a bot is idle nearly always, and should be small.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(Box::pin(commands::run(cli.globals, cli.command))));
    cli::finish(outcome)
}
