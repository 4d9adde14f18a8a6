//! `tctl auth ls`: the auth server that answers.

use cli::{Format, Table};
use serde::Serialize;

use crate::{args::Shape, cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl auth ls")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

#[derive(Serialize)]
struct Server {
    cluster: String,
    address: String,
    version: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let ping = cluster::ping(&client).await?;
    let address = cluster::auth_address(session).await?;
    let server = Server { cluster: ping.cluster_name, address, version: ping.server_version };
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &[server]);
    }
    let mut table = Table::new(["Cluster", "Address", "Version"]);
    table.row([server.cluster, server.address, server.version]);
    session.out.text(table)
}
