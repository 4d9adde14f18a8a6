//! The commands: one file each, in a folder for each noun.

mod access;
mod apps;
mod audit;
mod auth;
mod bots;
mod completion;
mod create;
mod edit;
mod get;
mod inventory;
mod later;
mod lock;
mod reference;
mod rm;
mod status;
mod tokens;
mod traits;
mod users;
mod version;

use clap::Subcommand;
use cli::error::Advised;
use domain::{Error, error::Reason};

use crate::session::Session;

/// A refusal says nothing of what exists or which rule decided; whoever may know can ask.
const WHY: &str = "an administrator sees why with tctl access explain --user=NAME --verb=VERB --resource=KIND/NAME";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the cluster and its certificate authorities.
    Status(status::Args),
    /// Create resources from documents.
    Create(create::Args),
    /// Show resources as documents.
    Get(get::Args),
    /// Change one resource in an editor.
    Edit(edit::Args),
    /// Delete resources.
    Rm(rm::Args),
    /// Manage bots.
    #[command(subcommand)]
    Bots(bots::Command),
    /// Manage join tokens.
    #[command(subcommand, visible_alias = "token")]
    Tokens(tokens::Command),
    /// Manage users.
    #[command(subcommand, visible_alias = "user")]
    Users(users::Command),
    /// Shut somebody out.
    Lock(lock::Args),
    /// Work with the certificate authorities.
    #[command(subcommand)]
    Auth(auth::Command),
    /// Look at applications.
    #[command(subcommand, alias = "app")]
    Apps(apps::Command),
    /// See which programs of the cluster run.
    #[command(subcommand)]
    Inventory(inventory::Command),
    /// Read and verify the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Find out why somebody may or may not do something.
    #[command(subcommand)]
    Access(access::Command),
    /// Print the version.
    Version(version::Args),
    /// Print a completion script for a shell.
    Completion(completion::Args),
    #[command(flatten)]
    Later(later::Later),
}

/// Runs a command.
pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    if session.globals.debug {
        let config = telemetry::log::Config { severity: telemetry::log::Severity::Debug, ..Default::default() };
        telemetry::log::init(&config, session.clock.clone())?;
    }
    let denied = |error: anyhow::Error| match error.downcast_ref::<Error>() {
        Some(Error { reason: Some(Reason::AccessDenied), .. }) => Advised::new(error, WHY).into(),
        _ => error,
    };
    dispatch(command, session).await.map_err(denied)
}

async fn dispatch(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Status(args) => status::run(args, session).await,
        Command::Create(args) => create::run(args, session).await,
        Command::Get(args) => get::run(args, session).await,
        Command::Edit(args) => edit::run(args, session).await,
        Command::Rm(args) => rm::run(args, session).await,
        Command::Bots(command) => bots::run(command, session).await,
        Command::Tokens(command) => tokens::run(command, session).await,
        Command::Users(command) => users::run(command, session).await,
        Command::Lock(args) => lock::run(args, session).await,
        Command::Auth(command) => auth::run(command, session).await,
        Command::Apps(command) => apps::run(command, session).await,
        Command::Inventory(command) => inventory::run(command, session).await,
        Command::Audit(command) => audit::run(command, session).await,
        Command::Access(command) => access::run(command, session).await,
        Command::Version(args) => version::run(args, session),
        Command::Completion(args) => completion::run(args, session),
        Command::Later(command) => command.run(),
    }
}
