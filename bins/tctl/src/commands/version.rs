//! `tctl version`: what this program is.

use serde::Serialize;

use crate::{args::Shape, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl version --format=json")]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

pub(crate) fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match args.shape.format {
        cli::Format::Text => session.out.line(format_args!("Tessera v{version} tctl")),
        format => session.out.value(format, &Version { version }),
    }
}
