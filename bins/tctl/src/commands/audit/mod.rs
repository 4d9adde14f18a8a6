//! `tctl audit`: the audit log.

mod ls;
mod verify;

use crate::session::Session;

/// What can be done with the audit log.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl audit ls --since=1h\n  tctl audit verify")]
pub(crate) enum Command {
    /// List events.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Check that nothing was changed, removed or reordered.
    Verify(verify::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Ls(args) => ls::run(args, session).await,
        Command::Verify(args) => verify::run(args, session).await,
    }
}
