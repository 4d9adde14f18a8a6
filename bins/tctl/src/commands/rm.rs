//! `tctl rm`: deletes resources.

use anyhow::bail;
use domain::Kind;

use super::reference;
use crate::{cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl rm role/ci\n  tctl rm lock/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11\n  tctl rm cap"
)]
pub(crate) struct Args {
    /// `KIND/NAME`, several separated by commas. A cluster configuration goes back to its default.
    #[arg(value_name = "KIND/NAME", required = true)]
    resources: Vec<String>,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let references = reference::parse(&args.resources.join(","))?;
    if let Some(missing) = references.iter().find(|r| r.name.is_none() && !r.kind.is_singleton()) {
        bail!(cli::exit::Usage(format!("name one {0} to delete: tctl rm {0}/NAME", missing.kind)));
    }
    let client = session.client().await?;
    for reference in references {
        let name = reference.name.unwrap_or_default();
        cluster::delete(&client, reference.kind, &name).await?;
        session.out.line(message(reference.kind, &name))?;
    }
    Ok(())
}

fn message(kind: Kind, name: &str) -> String {
    if kind.is_singleton() {
        return format!("{} has been reset to defaults", kind.as_str().replace('_', " "));
    }
    format!("{kind} \"{name}\" has been deleted")
}
