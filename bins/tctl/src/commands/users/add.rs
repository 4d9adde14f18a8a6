//! `tctl users add`: a user, and the link with which the person sets a password and a second factor.

use std::time::Duration;

use cli::Advice;
use domain::resources::{Role, User, user::UserSpec};

use super::invite::{self, Purpose};
use crate::{
    args::Shape,
    cluster::{self, Remote},
    commands::traits::{self, TraitFlags, words},
    session::Session,
};

/// The longest validity of an invitation.
const MAX_TTL: Duration = Duration::from_secs(48 * 3600);

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl users add alice --roles=access,editor --logins=alice,root")]
pub(crate) struct Args {
    /// Name of the new user.
    name: String,
    /// Roles of the user.
    #[arg(long, required = true)]
    roles: String,
    #[command(flatten)]
    traits: TraitFlags,
    /// How long the invitation can be used, such as 30m or 8h, at most 48h.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "1h")]
    ttl: Duration,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    invite::check(args.ttl, MAX_TTL)?;
    let client = session.client().await?;
    let roles = words(&args.roles);
    for role in &roles {
        Role::fetch(&client, role).await.advise(|| "see which roles exist: tctl get roles --format=text")?;
    }
    let mut user = User::new(&args.name, UserSpec { roles, traits: args.traits.traits(), ..UserSpec::default() });
    cluster::check(&mut user)?;
    User::create(&client, user).await?;
    invite::make(session, &args.name, args.ttl, Purpose::Invite, args.shape.format)
        .await
        .advise(|| format!("the user exists; make the link with tctl users reset {}", args.name))
}
