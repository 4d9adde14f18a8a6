//! `tctl apps ls`: applications and the hosts that serve them.

use cli::{Format, Table};
use domain::resources::AppServer;

use crate::{args::Shape, cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl apps ls --format=json")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let servers = AppServer::list(&client, false).await?;
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
            cli::table::labels(&app.metadata.labels),
            server.spec.version.clone(),
        ]);
    }
    table
}
