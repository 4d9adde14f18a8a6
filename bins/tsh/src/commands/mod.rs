//! The commands, one file each.

mod apps;
mod later;
mod proxy;

use clap::{CommandFactory, Subcommand};
use cli::{Format, Output};
use serde::Serialize;
use telemetry::log::{self, Severity};

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
    start_log(globals.debug, &command)?;
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

/// Nothing unless somebody wants it: what fails is told anyhow.
fn start_log(is_wordy: bool, command: &Command) -> anyhow::Result<()> {
    let output = if let Command::Proxy(command) = command { command.log_output() } else { None };
    if !is_wordy && output.is_none() {
        return Ok(());
    }
    let severity = if is_wordy { Severity::Debug } else { Severity::Info };
    let output = output.unwrap_or(log::Output::Stderr);
    log::init(&log::Config { output, severity, ..Default::default() }, clock::Clock::system())?;
    Ok(())
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
