//! `tctl users ls`: all users; bots are listed by `tctl bots ls`.

use cli::{Format, Table};
use domain::{Resource, resources::User};

use crate::{args::Shape, cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl users ls --format=json")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let mut users = User::list(&client, false).await?;
    users.retain(|user| user.bot_name().is_none());
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &users);
    }
    if users.is_empty() {
        return session.out.line("No users found");
    }
    session.out.text(table(&users))
}

/// The table of users.
pub(crate) fn table(users: &[User]) -> Table {
    let mut table = Table::new(["User", "Roles"]);
    for user in users {
        table.row([user.name().to_owned(), user.spec.roles.join(",")]);
    }
    table
}
