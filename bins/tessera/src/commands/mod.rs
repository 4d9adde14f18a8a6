//! The commands, one file each.

mod app;
mod check;
mod completion;
mod configure;
mod debug;
mod install;
mod later;
mod start;
mod version;

use clap::Subcommand;

/// What the server can be told on its command line.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Start(Box<start::Args>),
    /// Make an application reachable.
    App(app::Args),
    /// Write a configuration file that works.
    Configure(Box<configure::Args>),
    /// Check a configuration file and print what it means.
    Check(check::Args),
    /// Ask a server that runs on this host, and change what it logs.
    Debug(debug::Args),
    /// Install the server as a service.
    Install(install::Args),
    /// Print the version.
    Version(version::Args),
    /// Print a completion script for a shell.
    Completion(completion::Args),
    #[command(flatten)]
    Later(later::Later),
}

/// Runs a command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start(args) => start::run(*args),
        Command::App(args) => app::run(args),
        Command::Configure(args) => configure::run(*args),
        Command::Check(args) => check::run(args),
        Command::Debug(args) => debug::run(args),
        Command::Version(args) => version::run(args),
        Command::Completion(args) => completion::run(args),
        Command::Install(args) => install::run(args),
        Command::Later(command) => later::run(&command),
    }
}
