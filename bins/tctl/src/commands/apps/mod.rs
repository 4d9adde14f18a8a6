//! `tctl apps`: applications that agents announce.

mod ls;

use crate::session::Session;

/// What can be done with applications.
#[derive(Debug, clap::Subcommand)]
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
