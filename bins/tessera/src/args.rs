//! The command line of the server. Each command's own flags stand beside its code.

use clap::Parser;

use crate::commands::Command;

/// The Tessera server: certificate authority and access for machines and people.
#[derive(Debug, Parser)]
#[command(name = "tessera", display_name = "Tessera", version = concat!("v", env!("CARGO_PKG_VERSION")), after_help = help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn help() -> String {
    let exit = cli::exit::HELP;
    format!("Examples:\n  tessera configure --cluster-name=example.com -o file\n  tessera start\n\n{exit}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_is_consistent_and_shows_an_example() {
        Cli::command().debug_assert();
        assert_eq!(cli::examples::missing(&Cli::command()), [""; 0]);
    }
}
