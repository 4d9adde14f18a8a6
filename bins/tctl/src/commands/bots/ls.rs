//! `tctl bots ls`: all bots.

use cli::{Format, Table};
use domain::{Resource, resources::Bot};

use crate::{args::Shape, cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl bots ls --format=json")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let bots = Bot::list(&client, false).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &bots);
    }
    if bots.is_empty() {
        return session.out.line("No bots found");
    }
    session.out.text(table(&bots))
}

/// The table of bots.
pub(crate) fn table(bots: &[Bot]) -> Table {
    let mut table = Table::new(["Bot", "User", "Roles"]);
    for bot in bots {
        table.row([bot.name().to_owned(), Bot::resource_name(bot.name()), bot.spec.roles.join(",")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use domain::resources::bot::BotSpec;

    use super::*;

    #[test]
    fn the_table_of_bots() {
        let bot = Bot::new("ci", BotSpec { roles: vec!["a".into(), "b".into()], ..BotSpec::default() });
        assert_eq!(table(&[bot]).to_string(), "Bot User   Roles\n--- ------ -----\nci  bot-ci a,b\n");
    }
}
