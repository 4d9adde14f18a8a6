//! `tctl apps ls`: applications and the hosts that serve them.

use cli::{Format, Table};
use domain::resources::AppServer;

use crate::{
    args::Shape,
    cluster,
    commands::traits::{labels, words},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl apps ls env=prod --search=grafana\n  tctl apps ls --format=json")]
pub(crate) struct Args {
    /// Only applications with these labels, `key=value,…`.
    #[arg(value_name = "LABELS", default_value = "", hide_default_value = true)]
    labels: String,
    /// Only applications that show all of these words, separated by commas.
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    search: String,
    /// Only applications for which this expression is true.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    query: String,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let labels = labels(&args.labels)?;
    let servers = cluster::app_servers(&client, &labels, &words(&args.search), &args.query).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &servers);
    }
    if servers.is_empty() {
        return session.out.line("No applications found");
    }
    session.out.text(table(&servers))
}

/// The table of applications.
pub(crate) fn table(servers: &[AppServer]) -> Table {
    let mut table = Table::new(["Host", "Name", "Description", "Public Address", "URI", "Labels", "Version"]);
    for server in servers {
        let app = server.spec.app.clone().unwrap_or_default();
        table.row([
            server.spec.hostname.clone(),
            app.metadata.name.clone(),
            app.metadata.description.clone(),
            app.spec.public_addr.clone(),
            app.spec.uri.clone(),
            cli::table::labels(&*app.all_labels()),
            server.spec.version.clone(),
        ]);
    }
    table
}
