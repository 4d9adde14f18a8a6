//! `tctl bots add`: a bot, and the token with which its first instance joins.

use std::time::Duration;

use cli::{Advice, Format};
use domain::{
    Resource,
    error::Kind as ErrorKind,
    resources::{
        Bot,
        bot::{BotSpec, Trait},
    },
};

use super::token;
use crate::{
    args::Shape,
    cluster::{self, Remote},
    commands::traits,
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl bots add ci --roles=deployer\n  \
                        tctl bots add ci --roles=deployer --logins=root --token=my-github-token --format=json")]
pub(crate) struct Args {
    /// Name of the new bot.
    name: String,
    /// Roles that the bot may become.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// Logins on hosts, for roles that use {{internal.logins}}.
    #[arg(long, value_delimiter = ',')]
    logins: Vec<String>,
    /// An existing token that joins this bot; without it a one-time token is made.
    #[arg(long)]
    token: Option<String>,
    /// How long the new token can be used, such as 30m or 8h.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "1h", conflicts_with = "token")]
    ttl: Duration,
    /// The longest life of the bot's certificates, such as 8h or 7d [default: 12h].
    #[arg(long, value_name = "SPAN", value_parser = traits::duration)]
    max_session_ttl: Option<Duration>,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    if let Some(name) = &args.token {
        token::check(&client, name, &args.name).await?;
    }
    for role in &args.roles {
        super::check_role(&client, role).await?;
    }
    let traits = match args.logins.as_slice() {
        [] => Vec::new(),
        logins => vec![Trait { name: "logins".to_owned(), values: logins.to_vec() }],
    };
    let spec = BotSpec { roles: args.roles.clone(), traits, max_session_ttl: args.max_session_ttl };
    let mut bot = Bot::new(&args.name, spec);
    cluster::check(&mut bot)?;
    match Bot::create(&client, bot.clone()).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            return Err(error).advise(|| {
                format!(
                    "a token for one more machine: tctl bots instances add {0}; other roles: tctl bots update {0}",
                    args.name
                )
            });
        }
        outcome => outcome?,
    }
    if args.roles.is_empty() && args.shape.format == Format::Text {
        session.out.line("WARNING: the bot has no roles, so it can issue nothing but its own identity.")?;
        session.out.line(format_args!("  next: tctl bots update {} --add-roles=ROLE\n", bot.name()))?;
    }
    let (token, ttl) = match args.token {
        Some(token) => (token, None),
        None => {
            let made = token::create(session, bot.name(), None, args.ttl)
                .await
                .advise(|| format!("the bot exists; make a token with tctl bots instances add {}", args.name))?;
            (made, Some(args.ttl))
        }
    };
    token::show(session, &bot, &token, ttl, args.shape.format).await
}
