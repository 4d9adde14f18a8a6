//! `tctl tokens`: join tokens.

mod add;
mod ls;
mod rm;

use crate::session::Session;

/// What can be done with tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create a token.
    Add(add::Args),
    /// List tokens.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Delete a token.
    #[command(visible_alias = "del")]
    Rm(rm::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
    }
}
