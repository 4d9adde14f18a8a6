//! `tctl bots instances`: the running copies of a bot.

mod add;
pub(crate) mod ls;
mod show;

use crate::session::Session;

/// What can be done with instances.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl bots instances ls\n  tctl bots instances add ci")]
pub(crate) enum Command {
    /// List instances.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Show one instance.
    Show(show::Args),
    /// Make a one-time token with which another instance joins.
    Add(add::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Ls(args) => ls::run(args, session).await,
        Command::Show(args) => show::run(args, session).await,
        Command::Add(args) => add::run(args, session).await,
    }
}
