//! `tctl bots instances add`: a one-time token for a bot that exists.

use std::time::Duration;

use domain::resources::Bot;

use crate::{
    args::Shape,
    cluster::Remote,
    commands::{bots::token, traits},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tctl bots instances add ci --format=json\n\nThe instance appears once it has joined."
)]
pub(crate) struct Args {
    /// Name of the bot.
    bot: String,
    /// An existing token that joins this bot; without it a one-time token is made.
    #[arg(long)]
    token: Option<String>,
    /// How long the new token can be used, such as 30m or 8h.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "1h", conflicts_with = "token")]
    ttl: Duration,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let bot = Bot::fetch(&client, &args.bot).await?;
    let (token, ttl) = match args.token {
        Some(name) => {
            token::check(&client, &name, &args.bot).await?;
            (name, None)
        }
        None => (token::create(session, &args.bot, None, args.ttl).await?, Some(args.ttl)),
    };
    token::show(session, &bot, &token, ttl, args.shape.format).await
}
