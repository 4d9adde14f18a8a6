//! `tctl users`: people.

mod add;
mod invite;
pub(crate) mod ls;
mod reset;
mod rm;
mod update;

use crate::session::Session;

/// What can be done with users.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl users add alice --roles=access\n  tctl users ls")]
pub(crate) enum Command {
    /// Create a user and an invitation.
    Add(add::Args),
    /// List users.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Change a user's roles and traits.
    Update(update::Args),
    /// Delete users.
    Rm(rm::Args),
    /// Make a link with which a user sets new credentials.
    Reset(reset::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Update(args) => update::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::Reset(args) => reset::run(args, session).await,
    }
}
