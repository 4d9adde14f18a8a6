//! `tbot configure`: writes the file that stands for the flags.

use std::path::PathBuf;

use bot::Config;

use super::{invalid, refused, write};
use crate::{
    args::Globals,
    forms::{Form, Legacy},
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  tbot configure identity --auth-server=auth.example.com:3025 --token=TOKEN \
                  --ca-pin=sha256:… --destination=/opt/machine-id -o /etc/tbot.yaml\n  \
                  tbot configure application --app=grafana --destination=/opt/machine-id --proxy-server=example.com:443"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    form: Option<Form>,
    #[command(flatten)]
    legacy: Legacy,
    /// The file to write [default: standard output].
    #[arg(short, long, global = true, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<()> {
    let overrides = match args.form {
        Some(form) => form.overrides(globals),
        None => args.legacy.overrides(globals),
    };
    let config = Config::load(None, overrides.map_err(invalid)?).map_err(refused)?;
    // What is written must be readable: a value that the file's reader refuses is refused here.
    let text = config.to_yaml();
    Config::parse(&text, "the configuration").map_err(refused)?;
    write(args.output.as_deref(), &text)
}
