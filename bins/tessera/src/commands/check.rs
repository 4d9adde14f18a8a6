//! `tessera check`: whether a file is valid, and what it means with all defaults.

use std::path::PathBuf;

use cli::{Output, exit::invalid_input};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tessera check /etc/tessera.yaml\n  tessera check -q tessera.yaml && systemctl restart tessera"
)]
pub(crate) struct Args {
    /// The file [default: as for start].
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Say nothing when the file is valid.
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let found = daemon::config::find(args.file.as_deref()).map_err(invalid_input)?;
    // What start asks of the file as a whole: a service that needs another one, for instance.
    found.config.check()?;
    let files = daemon::preflight::files(&found.config).map_err(invalid_input)?;
    if args.quiet {
        return Ok(());
    }
    let mut out = Output::stdout();
    let name = found.path.map_or_else(|| "the embedded default".to_owned(), |path| path.display().to_string());
    out.line(format_args!("# {name} is valid; this is what it means."))?;
    for warning in found.config.warnings.iter().chain(&found.config.advice()).chain(&files) {
        out.line(format_args!("# warning: {warning}"))?;
    }
    out.text(found.config.effective())
}
