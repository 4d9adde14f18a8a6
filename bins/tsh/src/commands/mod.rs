//! The commands, one file each.

mod apps;
mod later;
mod proxy;

use clap::{CommandFactory, Subcommand};
use cli::{Format, Output};
use serde::Serialize;

use crate::args::{Cli, Globals, Shape};

/// What `tsh` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work with applications.
    #[command(subcommand, visible_alias = "app")]
    Apps(apps::Command),
    /// Run a local proxy.
    #[command(subcommand)]
    Proxy(proxy::Command),
    /// Print the version.
    #[command(after_help = "Example:\n  tsh version --format=json")]
    Version(Version),
    /// Print a script that completes commands and flags in a shell.
    #[command(after_help = "Example:\n  tsh completion bash > /etc/bash_completion.d/tsh")]
    Completion {
        /// Which shell.
        shell: cli::completion::Shell,
    },
    #[command(flatten)]
    Later(later::Later),
}

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// This program's version only, which is all that is shown without a profile, too.
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    shape: Shape,
}

/// Runs a command.
pub(crate) async fn run(globals: Globals, command: Command) -> anyhow::Result<()> {
    if globals.debug {
        let config = telemetry::log::Config { severity: telemetry::log::Severity::Debug, ..Default::default() };
        telemetry::log::init(&config, clock::Clock::system())?;
    }
    if matches!(command, Command::Apps(_) | Command::Proxy(_)) {
        globals.refused.check()?;
    }
    match command {
        Command::Apps(command) => apps::run(command, &globals).await,
        Command::Proxy(command) => proxy::run(command, &globals).await,
        Command::Version(args) => version(args.shape.format),
        Command::Completion { shell } => Output::stdout().text(cli::completion::script(&mut Cli::command(), shell)),
        Command::Later(command) => command.run(),
    }
}

fn version(format: Format) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Version {
        version: &'static str,
    }
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Text => Output::stdout().line(format_args!("Tessera v{version} tsh")),
        format => Output::stdout().value(format, &Version { version }),
    }
}
