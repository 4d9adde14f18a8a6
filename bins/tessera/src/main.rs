//! The Tessera server.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::finish(commands::run(args::Cli::parse().command))
}
