//! `tctl access`: who may do what, and why.

mod explain;

use crate::session::Session;

/// What can be asked.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  tctl access explain --user=alice --verb=create --resource=role")]
pub(crate) enum Command {
    /// Say which rule of which role decides.
    Explain(explain::Args),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Explain(args) => explain::run(args, session).await,
    }
}
