//! `tctl tokens rm`: deletes a token; who has joined with it stays.

use domain::resources::Token;

use crate::{cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl tokens rm 9f86d081884c7d65")]
pub(crate) struct Args {
    /// The token.
    token: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    Token::delete(&client, &args.token).await?;
    session.out.line(format_args!("Token {} has been deleted", args.token))
}
