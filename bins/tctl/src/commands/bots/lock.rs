//! `tctl bots lock`: locks the user of a bot, and so all of its instances.

use domain::resources::{Bot, lock::LockTarget};

use crate::{
    args::Shape,
    cluster::Remote,
    commands::lock::{create, show, until},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl bots lock ci --ttl=1h")]
pub(crate) struct Args {
    /// Name of the bot.
    name: String,
    /// When the lock ends, RFC 3339.
    #[arg(long, conflicts_with = "ttl")]
    expires: Option<String>,
    /// How long the lock holds, such as 30m or 8h [default: for ever].
    #[arg(long, value_name = "SPAN")]
    ttl: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    Bot::fetch(&client, &args.name).await?;
    let end = until(args.ttl.as_deref(), args.expires.as_deref(), session.clock.now())?;
    let user = Bot::resource_name(&args.name);
    let target = LockTarget { user, ..LockTarget::default() };
    let message = format!("The bot user \"bot-{}\" has been locked by an administrator.", args.name);
    let lock = create(session, target, message, end).await?;
    show(session, &lock, args.shape.format).await
}
