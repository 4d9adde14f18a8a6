//! `tbot start`: runs the bot.

use anyhow::Context;
use bot::{Bot, Config, Overrides};
use clock::Clock;
use crypto::Random;
use telemetry::log;

use super::{ended, invalid, refused};
use crate::{
    args::{Globals, LogFormat},
    forms::{Form, Legacy},
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  tbot start -c /etc/tbot.yaml\n  \
                  tbot start --oneshot --auth-server=auth.example.com:3025 --token=TOKEN --ca-pin=sha256:… \
                  --destination-dir=/opt/machine-id\n  \
                  tbot start identity --auth-server=auth.example.com:3025 --token=/etc/tbot-token --ca-pin=sha256:… \
                  --storage=/var/lib/teleport/bot --destination=file:///opt/machine-id --reader-user=app\n  \
                  tbot start noop --auth-server=auth.example.com:3025 --token=TOKEN --ca-pin=sha256:… --storage=memory://"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    form: Option<Form>,
    #[command(flatten)]
    legacy: Legacy,
}

impl Args {
    /// What the flags say about the configuration.
    pub(crate) fn overrides(self, globals: &Globals) -> Result<Overrides, String> {
        match self.form {
            Some(form) => form.overrides(globals),
            None => self.legacy.overrides(globals),
        }
    }
}

pub(crate) async fn run(args: Args, globals: &Globals) -> anyhow::Result<()> {
    let overrides = args.overrides(globals).map_err(invalid)?;
    let config = Config::load(globals.config.as_deref(), overrides).map_err(refused)?;
    if config.server().is_none() {
        return Err(invalid(bot::config::NO_SERVER));
    }
    let clock = Clock::system();
    start_log(&config, globals, clock.clone()).context("cannot set up logging")?;
    if config.credential_ttl.is_some_and(|ttl| ttl > config.ttl()) {
        tracing::warn!("credential_ttl is reduced to 24h; longer certificates are made by tctl auth sign");
    }
    if config.services.is_empty() {
        tracing::info!("no output is configured; the bot only joins and renews");
    }
    let bot = Bot::from_environment(config, clock, Random::system()).map_err(invalid)?;
    Box::pin(bot::run(bot)).await.map_err(|error| ended(&error))
}

fn start_log(config: &Config, globals: &Globals, clock: Clock) -> anyhow::Result<()> {
    let severity = if config.debug { log::Severity::Debug } else { log::Severity::Info };
    let format = match globals.log_format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    let components = &[("bot", "TBOT"), ("client", "TBOT:CLIENT"), ("tbot", "TBOT")];
    log::init(&log::Config { severity, format, components, ..log::Config::default() }, clock)?;
    Ok(())
}
