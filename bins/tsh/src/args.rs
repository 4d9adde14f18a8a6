//! The command line: what holds for every command. Each command's own flags stand beside its code.

use std::path::PathBuf;

use clap::{Args, Parser};
use domain::Error;

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
    /// Who you are; the identity file must be this user's.
    #[arg(long, global = true, value_name = "NAME", env = "TELEPORT_USER")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) refused: Refused,
    #[command(flatten)]
    pub(crate) without_effect: WithoutEffect,
}

/// Flags that would change what happens, and cannot be obeyed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Refused {
    #[arg(long, global = true, hide = true, env = "TELEPORT_HEADLESS", value_parser = clap::builder::FalseyValueParser::new())]
    headless: bool,
    #[arg(long, global = true, hide = true)]
    insecure: bool,
    #[arg(short = 'J', long, global = true, hide = true)]
    jumphost: Option<String>,
    #[arg(long, global = true, hide = true, env = "TELEPORT_RELAY")]
    relay: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "MINUTES")]
    ttl: Option<u32>,
}

impl Refused {
    /// Why the command line cannot be obeyed, if it cannot.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let flags = [
            ("--headless", self.headless, "signing in is not supported yet; give an identity file with -i"),
            (
                "--insecure",
                self.insecure,
                "the identity file says which servers are believed: those of its cluster, beside those of this system \
                 (SSL_CERT_FILE names another list)",
            ),
            ("--jumphost", is_set(&self.jumphost), "access to SSH hosts is not supported yet"),
            ("--relay", is_set(&self.relay), "relays are not supported yet"),
            (
                "--ttl",
                self.ttl.is_some(),
                "what is made from an identity file lives as long as the file: make one that lives shorter, tctl auth sign \
                 --ttl=SPAN",
            ),
        ];
        match flags.into_iter().find(|(_, is_given, _)| *is_given) {
            Some((flag, _, why)) => Err(Error::unsupported(format!("{flag}: {why}"))),
            None => Ok(()),
        }
    }
}

/// Flags about signing in, SSH and this terminal: scripts give them, and an identity file leaves them nothing to do.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WithoutEffect {
    #[arg(short = 'k', long, global = true, hide = true)]
    add_keys_to_agent: Option<String>,
    #[arg(long, global = true, hide = true)]
    auth: Option<String>,
    #[arg(long, global = true, hide = true)]
    bind_addr: Option<String>,
    #[arg(long, global = true, hide = true)]
    callback: Option<String>,
    #[arg(long, global = true, hide = true)]
    cert_format: Option<String>,
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true)]
    enable_escape_sequences: Option<Option<String>>,
    #[arg(short, long, global = true, hide = true)]
    login: Option<String>,
    #[arg(long, global = true, hide = true)]
    mfa_mode: Option<String>,
    #[arg(long, global = true, hide = true)]
    mlock: Option<String>,
    #[arg(long, global = true, hide = true)]
    os_log: bool,
    #[arg(long, global = true, hide = true)]
    piv_slot: Option<String>,
    #[arg(long, global = true, hide = true)]
    skip_version_check: bool,
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
