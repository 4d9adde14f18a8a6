//! `tctl bots rm`: deletes a bot with its user and role; its locks stay.

use domain::resources::Bot;

use crate::{cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl bots rm ci")]
pub(crate) struct Args {
    /// Name of the bot.
    name: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    Bot::delete(&client, &args.name).await?;
    session.out.line(format_args!("Bot \"{}\" deleted successfully.", args.name))
}
