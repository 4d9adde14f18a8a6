//! `tctl apps`: applications that agents announce.

pub(crate) mod ls;

use crate::session::Session;

/// What can be done with applications.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  tctl apps ls")]
pub(crate) enum Command {
    /// List application servers.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Ls(args) => ls::run(args, session).await,
    }
}
