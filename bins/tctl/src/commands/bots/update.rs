//! `tctl bots update`: changes what a bot may become, from its next renewal on.

use std::time::Duration;

use anyhow::bail;
use domain::resources::{
    Bot,
    bot::{BotSpec, Trait},
};

use crate::{
    cluster::{self, Remote},
    commands::traits::{self, Change},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl bots update ci --add-roles=auditor\n  tctl bots update ci --set-logins=,\n\n\
                        A value of \",\" empties a list."
)]
pub(crate) struct Args {
    /// Name of the bot.
    name: String,
    /// Roles to add.
    #[arg(long, value_name = "ROLES", conflicts_with = "set_roles")]
    add_roles: Option<String>,
    /// Roles that replace the present ones.
    #[arg(long, value_name = "ROLES")]
    set_roles: Option<String>,
    /// Logins to add.
    #[arg(long, value_name = "LOGINS", conflicts_with = "set_logins")]
    add_logins: Option<String>,
    /// Logins that replace the present ones.
    #[arg(long, value_name = "LOGINS")]
    set_logins: Option<String>,
    /// The longest life of the bot's certificates, such as 8h or 7d.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration)]
    set_max_session_ttl: Option<Duration>,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let roles = Change::of(args.add_roles.as_deref(), args.set_roles.as_deref());
    let logins = Change::of(args.add_logins.as_deref(), args.set_logins.as_deref());
    if roles.is_none() && logins.is_none() && args.set_max_session_ttl.is_none() {
        bail!(cli::exit::Usage(
            "nothing to change: use --add-roles, --set-roles, --add-logins, --set-logins or --set-max-session-ttl"
                .into()
        ));
    }
    let client = session.client().await?;
    let mut bot = Bot::fetch(&client, &args.name).await?;
    if let Some(change) = roles {
        for role in change.values() {
            super::check_role(&client, role).await?;
        }
        change.apply(&mut bot.spec.roles);
    }
    if let Some(change) = logins {
        change.apply(traits_of(&mut bot.spec, "logins"));
        bot.spec.traits.retain(|entry| !entry.values.is_empty());
    }
    if args.set_max_session_ttl.is_some() {
        bot.spec.max_session_ttl = args.set_max_session_ttl;
    }
    cluster::check(&mut bot)?;
    Bot::update(&client, bot).await?;
    session.out.line(format_args!("Bot \"{}\" has been updated. Its next renewal uses the changes.", args.name))
}

fn traits_of<'a>(spec: &'a mut BotSpec, name: &str) -> &'a mut Vec<String> {
    let index = spec.traits.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
        spec.traits.push(Trait { name: name.to_owned(), values: Vec::new() });
        spec.traits.len() - 1
    });
    &mut spec.traits[index].values
}
