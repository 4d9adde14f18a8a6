//! `tctl users reset`: a link with which a user sets new credentials; the old ones end at once.

use std::time::Duration;

use super::invite::{self, Purpose};
use crate::{args::Shape, commands::traits, session::Session};

/// The longest validity of a link.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl users reset alice --ttl=2h")]
pub(crate) struct Args {
    /// Name of the user.
    name: String,
    /// How long the link can be used, such as 30m or 2h, at most 24h.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "8h")]
    ttl: Duration,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    invite::check(args.ttl, MAX_TTL)?;
    invite::make(session, &args.name, args.ttl, Purpose::Reset, args.shape.format).await
}
