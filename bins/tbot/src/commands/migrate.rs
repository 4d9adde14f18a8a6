//! `tbot migrate`: v1 to v2.

use std::{fs, path::PathBuf};

use super::{invalid, refused, write};
use crate::args::Globals;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tbot migrate -c /etc/tbot.yaml -o /etc/tbot-v2.yaml")]
pub(crate) struct Args {
    /// The file to write [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<()> {
    let path = globals.config.as_ref().ok_or_else(|| invalid("give the file to convert: -c FILE"))?;
    let text = fs::read_to_string(path).map_err(|error| invalid(format!("cannot read {}: {error}", path.display())))?;
    let config = bot::config::migrate(&text, &path.display().to_string()).map_err(refused)?;
    write(args.output.as_deref(), &config.to_yaml())
}
