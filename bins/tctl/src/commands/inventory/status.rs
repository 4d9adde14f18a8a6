//! `tctl inventory status`: how many instances there are, and of what.

use std::collections::BTreeMap;

use cli::Format;

use super::ls;
use crate::{
    args::Shape,
    cluster::{self, Inventory},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl inventory status\n  tctl inventory status --connected --format=json")]
pub(crate) struct Args {
    /// List what is connected to the server that answers, instead of counting.
    #[arg(long)]
    connected: bool,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let inventory = cluster::inventory(&client, args.connected).await?;
    if args.shape.format != Format::Text {
        return session.out.value(args.shape.format, &inventory);
    }
    if args.connected {
        return ls::show(session, &inventory.connected);
    }
    session.out.text(text(&inventory))
}

fn text(inventory: &Inventory) -> String {
    let counts = |title: &str, counts: &BTreeMap<String, u32>| {
        let lines: String = counts.iter().map(|(name, count)| format!("  {name}: {count}\n")).collect();
        if lines.is_empty() { String::new() } else { format!("{title}:\n{lines}") }
    };
    [
        counts("Versions", &inventory.version_counts),
        counts("Upgraders", &inventory.upgrader_counts),
        counts("Services", &inventory.service_counts),
        format!("Total Instances: {}\n", inventory.instance_count),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_that_people_see() {
        let inventory = Inventory {
            instance_count: 2,
            version_counts: BTreeMap::from([("18.0.0".into(), 2)]),
            service_counts: BTreeMap::from([("Auth".into(), 1), ("Bot".into(), 1)]),
            ..Inventory::default()
        };
        insta::assert_snapshot!(text(&inventory), @r"
        Versions:
          18.0.0: 2
        Services:
          Auth: 1
          Bot: 1
        Total Instances: 2
        ");
    }
}
