//! The command line: what holds for every command. Each command's own flags stand beside its code.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;

/// The user's tool of a Tessera cluster.
#[derive(Debug, Parser)]
#[command(name = "tsh", disable_version_flag = true, after_help = help(), subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn help() -> String {
    format!(
        "Examples:\n  tsh --proxy=example.com:3080 -i alice.pem apps ls\n  \
         tsh --proxy=example.com:3080 -i alice.pem proxy app grafana --port=1234\n\n{}",
        cli::exit::HELP
    )
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Address of the proxy.
    #[arg(long, global = true, value_name = "HOST:PORT", env = "TELEPORT_PROXY")]
    pub(crate) proxy: Option<String>,
    /// Identity file, from `tctl auth sign`, or a bot's identity output with `allow_reissue`.
    #[arg(short, long, global = true, value_name = "FILE", env = "TELEPORT_IDENTITY_FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Where certificates are kept [default: ~/.tsh].
    #[arg(long, global = true, value_name = "DIR", env = "TELEPORT_HOME", hide = true)]
    pub(crate) home: Option<PathBuf>,
    /// Log what happens to standard error.
    #[arg(short, long, global = true)]
    pub(crate) debug: bool,
}

/// The shape of a result: a table, or something for programs.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Shape {
    /// How the result is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: cli::Format,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(cli::examples::missing(&Cli::command()), [""; 0]);
    }
}
