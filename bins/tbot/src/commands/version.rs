//! `tbot version`: what this program is.

use cli::{Format, Output};
use serde_json::json;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tbot version --format=json")]
pub(crate) struct Args {
    /// How the version is shown.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match args.format {
        Format::Text => Output::stdout().line(format_args!("Tessera v{version} tbot")),
        format => Output::stdout().value(format, &json!({ "version": version })),
    }
}
