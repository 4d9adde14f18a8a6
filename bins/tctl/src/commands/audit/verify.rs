//! `tctl audit verify`: asks the server to walk its audit chain, against a checkpoint that was kept elsewhere.

use std::path::PathBuf;

use anyhow::{Context, bail};
use cli::Format;

use crate::{args::Shape, cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl audit verify\n  tctl audit verify --checkpoint=audit-head.json\n\n\
                        A checkpoint is the file data_dir/audit-head, or a \"checkpoint\" line of an audit sink. Keep a \
                        copy on another machine: without one, whoever owns the server can remove the newest records.")]
pub(crate) struct Args {
    /// A checkpoint that was kept elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let checkpoint = match &args.checkpoint {
        Some(path) => std::fs::read(path)
            .with_context(|| format!("checkpoint {} cannot be read", path.display()))
            .map_err(cli::exit::invalid_input)?,
        None => Vec::new(),
    };
    let client = session.client().await?;
    let report = cluster::audit_verify(&client, checkpoint).await?;
    if args.shape.format == Format::Text {
        let (first, last) = (cluster::show_optional(report.first), cluster::show_optional(report.last));
        session.out.line(format_args!(
            "{} records, {} checkpoints, from {first} to {last}",
            report.records, report.checkpoints
        ))?;
        report.complaints.iter().try_for_each(|complaint| session.out.line(format_args!("  - {complaint}")))?;
        session.out.line(if report.intact { "The audit log is intact." } else { "THE AUDIT LOG IS NOT INTACT." })?;
    } else {
        session.out.value(args.shape.format, &report)?;
    }
    if !report.intact {
        bail!(domain::Error::conflict("the audit log does not fit its chain"));
    }
    Ok(())
}
