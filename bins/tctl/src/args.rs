//! The command line: what holds for every command. Each command's own flags stand beside its code.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;

/// The administrator's tool of a Tessera cluster.
#[derive(Debug, Parser)]
#[command(name = "tctl", display_name = "Tessera", version = concat!("v", env!("CARGO_PKG_VERSION"), " tctl"), after_help = help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn help() -> String {
    format!(
        "Examples:\n  tctl status\n  tctl bots add ci --roles=deployer\n  \
         tctl --auth-server=auth.example.com:3025 -i alice.pem get roles\n\n{}",
        cli::exit::HELP
    )
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Log what happens to standard error.
    #[arg(short, long, global = true)]
    pub(crate) debug: bool,
    /// Configuration file of the server on this host [default: $TELEPORT_CONFIG_FILE, /etc/tessera.yaml,
    /// /etc/teleport.yaml].
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address of the auth service, with an identity file [default: 127.0.0.1:3025].
    #[arg(long, global = true, value_name = "HOST:PORT", env = "TELEPORT_AUTH_SERVER", value_delimiter = ',')]
    pub(crate) auth_server: Vec<String>,
    /// Identity file, from `tctl auth sign`, or a bot's identity output.
    #[arg(short, long, global = true, value_name = "FILE", env = "TELEPORT_IDENTITY_FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Believe any server. Only for tests: whoever sits on the wire can read and change everything.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

/// The shape of a list: a table, or something for programs.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Shape {
    /// How the result is shown.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
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
