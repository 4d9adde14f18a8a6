//! `tctl inventory`: which programs of the cluster run, and in which versions.

mod ls;
mod status;

use crate::session::Session;

/// What can be asked of the inventory.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl inventory status\n  tctl inventory ls --older-than=18.0.0")]
pub(crate) enum Command {
    /// Count instances by version and service.
    Status(status::Args),
    /// List the instances that are connected.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Status(args) => status::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
    }
}
