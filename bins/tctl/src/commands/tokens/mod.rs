//! `tctl tokens`: join tokens.

mod add;
pub(crate) mod ls;
mod rm;

use crate::session::Session;
use cli::later::{self, Rest};

/// What can be done with tokens.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl tokens add --type=node\n  tctl tokens ls")]
pub(crate) enum Command {
    /// Create a token.
    Add(add::Args),
    /// List tokens.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Delete a token.
    #[command(visible_alias = "del")]
    Rm(rm::Args),
    /// Prepare a Kubernetes cluster for joining (not supported yet).
    #[command(hide = true)]
    ConfigureKube(Rest),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::ConfigureKube(_) => later::unsupported("tctl tokens configure-kube"),
    }
}
