//! `tctl bots`: machine identities.

mod add;
pub(crate) mod instances;
mod lock;
pub(crate) mod ls;
mod rm;
mod token;
mod update;

use cli::Advice;
use client::Client;
use domain::{error::Kind as ErrorKind, resources::Role};

use crate::{cluster::Remote, session::Session};

/// What can be done with bots.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl bots add ci --roles=deployer\n  tctl bots ls")]
pub(crate) enum Command {
    /// Create a bot and a token that joins it.
    Add(add::Args),
    /// List bots.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Delete a bot.
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
    /// Change a bot's roles, logins or longest session.
    Update(update::Args),
    /// Lock a bot's user.
    #[command(hide = true)]
    Lock(lock::Args),
    /// Look at a bot's instances, or let another one join.
    #[command(subcommand, visible_alias = "instance")]
    Instances(instances::Command),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::Update(args) => update::run(args, session).await,
        Command::Lock(args) => lock::run(args, session).await,
        Command::Instances(command) => instances::run(command, session).await,
    }
}

/// Looks for a role that a bot is to have; only one that is not there can be created first.
async fn check_role(client: &Client, role: &str) -> anyhow::Result<()> {
    match Role::fetch(client, role).await {
        Err(error) if error.kind == ErrorKind::NotFound => {
            Err(error).advise(|| "create the role first: tctl create role.yaml")
        }
        outcome => Ok(outcome.map(drop)?),
    }
}
