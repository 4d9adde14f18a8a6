//! The command line: what holds for every command. Each command's own flags stand beside its code.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use bot::Overrides;
use clap::{Args, Parser, ValueEnum};

use crate::commands::Command;

/// The bot of a Tessera cluster: joins, renews, and writes certificates for other programs.
#[derive(Debug, Parser)]
#[command(
    name = "tbot",
    display_name = "Tessera",
    version = concat!("v", env!("CARGO_PKG_VERSION"), " tbot"),
    after_help = help(),
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads a command line. `tbot proxy FLAGS -- app …` is read, too: what follows `--` was handed on to `tsh` once, and
    /// scripts write it so.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(crate) fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let refused = match cli::examples::read(&words) {
            Err(error) if error.use_stderr() => error,
            outcome => return outcome,
        };
        let proxy = words.iter().position(|word| word == "proxy");
        let dashes = words.iter().position(|word| word == "--");
        match proxy.zip(dashes).filter(|(proxy, dashes)| proxy < dashes) {
            Some((_, dashes)) => {
                let mut without = words;
                without.remove(dashes);
                cli::examples::read(without)
            }
            None => Err(refused),
        }
    }
}

fn help() -> String {
    format!(
        "Examples:\n  tbot configure identity --token=TOKEN --auth-server=auth.example.com:3025 --destination=/opt/machine-id\n  \
         tbot start -c /etc/tbot.yaml\n\n{}",
        cli::exit::HELP
    )
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Globals {
    /// Configuration file.
    #[arg(short, long, global = true, value_name = "FILE", env = "TBOT_CONFIG_PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Log verbosely to standard error [env: TBOT_DEBUG].
    #[arg(short, long, global = true, overrides_with = "no_debug")]
    pub(crate) debug: bool,
    #[arg(long, global = true, hide = true, overrides_with = "debug")]
    no_debug: bool,
    /// How log lines look.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// FIPS mode.
    #[arg(long, global = true, overrides_with = "no_fips")]
    pub(crate) fips: bool,
    #[arg(long, global = true, hide = true, overrides_with = "fips")]
    no_fips: bool,
    /// Believe any server on the first connection. Whoever sits on the wire can read the join token.
    #[arg(long, global = true, overrides_with = "no_insecure")]
    insecure: bool,
    #[arg(long, global = true, hide = true, overrides_with = "insecure")]
    no_insecure: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags of every form of `start` and `configure`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Shared {
    /// Address of the auth service [env: TELEPORT_AUTH_SERVER].
    #[arg(short, long, value_name = "HOST:PORT")]
    auth_server: Option<String>,
    /// Address of the proxy [env: TELEPORT_PROXY].
    #[arg(long, value_name = "HOST:PORT")]
    proxy_server: Option<String>,
    /// Join token, or the absolute path of a file that holds it [env: TELEPORT_BOT_TOKEN].
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Pin of the cluster's authority, `sha256:…`; see `tctl status`. May be repeated.
    #[arg(long = "ca-pin", value_name = "PIN")]
    ca_pins: Vec<String>,
    /// How the bot proves itself.
    #[arg(long, value_name = "METHOD")]
    join_method: Option<String>,
    /// Address, method and token in one: `tbot+auth+token://TOKEN@HOST:PORT`.
    #[arg(long, value_name = "URI")]
    join_uri: Option<String>,
    /// Lifetime of certificates, such as 1h.
    #[arg(long, visible_alias = "credential-ttl", value_name = "SPAN", value_parser = span)]
    certificate_ttl: Option<Duration>,
    /// Time between two renewals, such as 20m.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    renewal_interval: Option<Duration>,
    /// Where the bot keeps its own state: a directory, `file:///path` or `memory://`.
    #[arg(long, value_name = "URI")]
    storage: Option<String>,
    /// Address of the diagnostics endpoint.
    #[arg(long, value_name = "HOST:PORT")]
    diag_addr: Option<String>,
    /// Write the outputs once and end.
    #[arg(long, overrides_with = "no_oneshot")]
    oneshot: bool,
    #[arg(long, hide = true, overrides_with = "oneshot")]
    no_oneshot: bool,
    /// Where to write the process id.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// A scoped bot.
    #[arg(long, overrides_with = "no_scoped")]
    scoped: bool,
    #[arg(long, hide = true, overrides_with = "scoped")]
    no_scoped: bool,
    /// First secret of join method bound_keypair [env: TBOT_REGISTRATION_SECRET].
    #[arg(long, value_name = "SECRET")]
    registration_secret: Option<String>,
    /// A file with it.
    #[arg(long, value_name = "FILE")]
    registration_secret_path: Option<String>,
    /// Private key of join method bound_keypair.
    #[arg(long, value_name = "FILE")]
    static_key_path: Option<String>,
}

/// A switch and its opposite: what was said, if anything.
fn switch(on: bool, off: bool) -> Option<bool> {
    match (on, off) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn span(text: &str) -> Result<Duration, String> {
    match domain::form::duration::parse(text)? {
        Duration::ZERO => Err("must not be 0".into()),
        span => Ok(span),
    }
}

impl Globals {
    /// What they say about the configuration.
    fn overrides(&self) -> Overrides {
        Overrides {
            debug: switch(self.debug, self.no_debug),
            fips: switch(self.fips, self.no_fips),
            insecure: switch(self.insecure, self.no_insecure),
            ..Overrides::default()
        }
    }
}

impl Shared {
    /// What they say about the configuration.
    pub(crate) fn overrides(self, globals: &Globals) -> Overrides {
        Overrides {
            oneshot: switch(self.oneshot, self.no_oneshot),
            scoped: switch(self.scoped, self.no_scoped),
            auth_server: self.auth_server,
            proxy_server: self.proxy_server,
            token: self.token.filter(|token| !token.is_empty()),
            ca_pins: self.ca_pins,
            join_method: self.join_method,
            join_uri: self.join_uri,
            credential_ttl: self.certificate_ttl,
            renewal_interval: self.renewal_interval,
            storage: self.storage,
            diag_addr: self.diag_addr,
            pid_file: self.pid_file,
            registration_secret: self.registration_secret,
            registration_secret_path: self.registration_secret_path,
            static_key_path: self.static_key_path,
            ..globals.overrides()
        }
        .or_environment()
    }
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
    fn dashes_before_what_tsh_was_told_are_read() {
        for line in [
            "tbot proxy --destination-dir=/d app --port=1 web",
            "tbot proxy --destination-dir=/d -- app --port=1 web",
            "tbot proxy --destination-dir=/d app -- --port=1 web",
            "tbot proxy app --destination-dir=/d -- web",
        ] {
            let words = line.split(' ').map(OsString::from).collect();
            let read = Cli::read(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(matches!(read.command, Command::Proxy(_)), "{line}");
        }
        for line in ["tbot start -- app", "tbot -- proxy", "tbot proxy -- apps --port=1 web"] {
            assert!(Cli::read(line.split(' ').map(OsString::from).collect()).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(cli::examples::missing(&Cli::command()), [""; 0]);
    }
}
