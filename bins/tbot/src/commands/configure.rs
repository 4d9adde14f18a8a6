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
    for note in notes(&config) {
        cli::warn(&note);
    }
    write(args.output.as_deref(), &text)
}

/// Why `tbot start` will not take the file as it is.
fn notes(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    if config.server().is_none() {
        notes.push(format!("tbot start refuses this file: {}", bot::config::NO_SERVER));
    } else if let Err(message) = config.check_supported() {
        notes.push(format!("tbot start refuses this file: {message}"));
    }
    let onboarding = &config.onboarding;
    if config.auth_server.is_some() && onboarding.ca_pins.is_empty() && onboarding.ca_path.is_none() && !config.insecure
    {
        notes.push(
            "nothing in the file says how to recognise the auth service: add --ca-pin, see tctl status".to_owned(),
        );
    }
    if onboarding.token.is_none() {
        notes.push("the file names no onboarding.token: add --token, or give it to tbot start".to_owned());
    }
    notes
}
