//! `tctl users rm`: deletes users.

use domain::resources::User;

use crate::{cluster::Remote, commands::traits::words, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl users rm alice,bob")]
pub(crate) struct Args {
    /// Names, separated by commas.
    #[arg(value_name = "NAMES")]
    names: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    for name in words(&args.names) {
        User::delete(&client, &name).await?;
        session.out.line(format_args!("User \"{name}\" has been deleted"))?;
    }
    Ok(())
}
