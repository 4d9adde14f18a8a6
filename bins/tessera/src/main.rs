//! The Tessera server.

mod args;
mod commands;

use std::process::ExitCode;

/// A request allocates some hundred small things on one thread and frees many of them on another: the system's allocator
/// spends 13 % of the server's time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::finish(commands::run(cli::examples::parse::<args::Cli>().command))
}
