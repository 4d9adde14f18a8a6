//! The command line of the server. Each command's own flags stand beside its code.

use clap::Parser;

use crate::commands::Command;

/// The Tessera server: certificate authority and access for machines and people.
#[derive(Debug, Parser)]
#[command(name = "tessera", display_name = "Tessera", version = concat!("v", env!("CARGO_PKG_VERSION")), after_help = cli::exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_is_consistent_and_shows_an_example() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("tessera "), "no example in {}", command.get_name());
        }
    }
}
