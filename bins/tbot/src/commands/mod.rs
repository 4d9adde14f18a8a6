//! The commands, one file each.

mod completion;
mod configure;
mod copy_binaries;
mod init;
mod install;
mod keypair;
mod migrate;
mod proxy;
mod start;
mod version;
mod wait;

use std::ffi::OsString;

use anyhow::anyhow;
use bot::{BotError, ConfigError};
use clap::Subcommand;
use cli::error::Advised;

use crate::args::Globals;

/// What `tbot` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the bot.
    Start(Box<start::Args>),
    /// Write a configuration file instead of running.
    Configure(Box<configure::Args>),
    /// Prepare an output directory: owner, access lists, files.
    Init(Box<init::Args>),
    /// Turn a configuration file of v1 into one of v2.
    Migrate(migrate::Args),
    /// Wait until a running bot is ready.
    Wait(wait::Args),
    /// Run a local proxy with the files of a running bot.
    Proxy(Box<proxy::Args>),
    /// Install the bot as a service.
    #[command(subcommand, after_help = "Example:\n  tbot install systemd -c /etc/tbot.yaml")]
    Install(install::Command),
    /// Make a key for join method bound_keypair.
    #[command(subcommand, after_help = "Example:\n  tbot keypair create --storage=/var/lib/teleport/bot")]
    Keypair(keypair::Command),
    /// Copy this program to where a container shares it.
    CopyBinaries(copy_binaries::Args),
    /// Print the version.
    Version(version::Args),
    /// Print a script that completes commands and flags in a shell.
    Completion(completion::Args),
    /// Access databases with the bot's files (not supported yet).
    #[command(hide = true)]
    Db(Later),
    /// Credentials for kubectl (not supported yet).
    #[command(hide = true)]
    Kube(Later),
    /// What ssh_config runs (not supported yet).
    #[command(hide = true, name = "ssh-proxy-command")]
    SshProxy(Later),
    /// What the ssh_config of a multiplexer runs (not supported yet).
    #[command(hide = true, name = "ssh-multiplexer-proxy-command")]
    SshMultiplexerProxy(Later),
    /// Inspect a Workload API (not supported yet).
    #[command(hide = true)]
    SpiffeInspect(Later),
    /// Identify the TPM (not supported yet).
    #[command(hide = true)]
    Tpm(Later),
}

/// Whatever follows the name of a command that is not built.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

pub(crate) async fn run(globals: Globals, command: Command) -> anyhow::Result<()> {
    let is_init = matches!(command, Command::Init(_));
    dispatch(globals, command).await.map_err(|error| advised(error, is_init))
}

/// What the operating system forbids, most people forbid themselves by starting the bot as somebody else.
fn advised(error: anyhow::Error, is_init: bool) -> anyhow::Error {
    let is_forbidden = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
    };
    match (error.chain().any(is_forbidden), is_init) {
        (false, _) => error,
        (true, true) => {
            Advised::new(error, "run tbot init as root (sudo): it gives files to other users and sets access lists")
                .into()
        }
        (true, false) => {
            Advised::new(error, "run tbot as the user whom its directories belong to (--bot-user of tbot init)").into()
        }
    }
}

async fn dispatch(globals: Globals, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Start(args) => start::run(*args, &globals).await,
        Command::Configure(args) => configure::run(*args, &globals),
        Command::Init(args) => init::run(*args, &globals),
        Command::Migrate(args) => migrate::run(args, &globals),
        Command::Wait(args) => wait::run(args).await,
        Command::Install(command) => install::run(&command, &globals),
        Command::Keypair(command) => keypair::run(&command, &globals),
        Command::CopyBinaries(args) => copy_binaries::run(&args),
        Command::Version(args) => version::run(&args),
        Command::Completion(args) => completion::run(&args),
        Command::Db(_) => later("db", "access to databases"),
        Command::Proxy(args) => proxy::run(*args, &globals).await,
        Command::Kube(_) => later("kube", "access to Kubernetes"),
        Command::SshProxy(_) => later("ssh-proxy-command", "access to SSH hosts through a proxy"),
        Command::SshMultiplexerProxy(_) => later("ssh-multiplexer-proxy-command", "the service ssh-multiplexer"),
        Command::SpiffeInspect(_) => later("spiffe-inspect", "the Workload API"),
        Command::Tpm(_) => later("tpm", "join method tpm"),
    }
}

/// Refuses by name what waits for another part.
fn later(name: &str, part: &str) -> anyhow::Result<()> {
    Err(domain::Error::unsupported(format!("tbot {name} is not supported yet: it comes with {part}")).into())
}

/// To standard output; a reader that has gone away is reported as such.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// A file, or standard output when there is none.
fn write(output: Option<&std::path::Path>, text: &str) -> anyhow::Result<()> {
    match output {
        None => print(text),
        Some(path) => write_new(path, text),
    }
}

/// A file that was not there before, for its owner only: it may hold a join token.
fn write_new(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let shown = path.display();
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = format!("{shown} exists already; remove it, or choose another place with --output");
            return Err(domain::Error::already_exists(message).into());
        }
        opened => opened.map_err(|error| anyhow!("cannot write {shown}: {error}"))?,
    };
    file.write_all(text.as_bytes()).map_err(|error| anyhow!("cannot write {shown}: {error}"))?;
    print(&format!(
        "The configuration has been written to {shown}, for its owner only.\n  next: tbot start -c {shown}\n"
    ))
}

/// A mistake in flags or file, with its exit code.
fn invalid(message: impl ToString) -> anyhow::Error {
    domain::Error::invalid(message.to_string()).into()
}

fn refused(error: ConfigError) -> anyhow::Error {
    invalid(error)
}

/// What ended the bot, with its exit code and its whole chain.
fn ended(error: &BotError) -> anyhow::Error {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    domain::Error::new(error.kind(), text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_says_whom_to_be() {
        let forbidden = || anyhow::Error::new(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert!(cli::render(&advised(forbidden(), true)).contains("next: run tbot init as root"));
        assert!(cli::render(&advised(forbidden(), false)).contains("next: run tbot as the user"));
        assert!(!cli::render(&advised(anyhow!("something else"), false)).contains("next:"));
    }
}
