//! `tctl get`: resources as documents that `tctl create` reads back.

use cli::{Format, Table};
use domain::{AnyResource, Kind, Timestamp, metadata};

use super::reference;
use crate::{cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl get roles\n  tctl get user/alice,role/ci --format=json\n  \
                        tctl get cert_authority/user\n  tctl get all > backup.yaml")]
pub(crate) struct Args {
    /// `KIND`, `KIND/NAME`, several separated by commas, or `all`.
    #[arg(value_name = "KIND[/NAME][,…]", required = true)]
    resources: Vec<String>,
    /// How the result is shown.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Format,
    /// Include private keys and passwords, for which the permission to read secrets is needed.
    #[arg(long)]
    with_secrets: bool,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let mut found = Vec::new();
    let text = args.resources.join(",");
    for reference in reference::parse(&text)? {
        found.extend(cluster::get(&client, reference.kind, reference.name.as_deref(), args.with_secrets).await?);
    }
    if text == "all" {
        // A bot brings its user and role along; as documents of their own they could not be created again.
        found.retain(|resource| resource.kind() == Kind::Bot || resource.metadata().label(metadata::BOT).is_empty());
    }
    match args.format {
        Format::Text => session.out.text(table(&found)),
        format => session.out.values(format, &found),
    }
}

fn table(resources: &[AnyResource]) -> Table {
    let mut table = Table::new(["Kind", "Name", "Labels", "Expires"]);
    for resource in resources {
        let metadata = resource.metadata();
        let kind = match resource.sub_kind() {
            "" => resource.kind().to_string(),
            sub_kind => format!("{}/{sub_kind}", resource.kind()),
        };
        table.row([kind, metadata.name.clone(), cli::table::labels(&metadata.labels), expires(metadata.expires)]);
    }
    table
}

pub(crate) fn expires(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), cluster::show_time)
}
