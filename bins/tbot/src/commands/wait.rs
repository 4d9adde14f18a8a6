//! `tbot wait`: returns when a running bot is ready, for scripts that need its files.

use std::time::Duration;

use clock::Clock;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tbot wait --diag-addr=127.0.0.1:3001 --service=identity-output-1 --timeout=30s")]
pub(crate) struct Args {
    /// Diagnostics address of the bot.
    #[arg(long, value_name = "HOST:PORT")]
    diag_addr: String,
    /// Wait for this service only.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Give up after this time, such as 30s [default: never].
    #[arg(long, value_name = "SPAN", value_parser = domain::form::duration::parse)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let clock = Clock::system();
    let ready = bot::wait_until_ready(&args.diag_addr, args.service.as_deref(), args.timeout, &clock).await;
    Ok(ready?)
}
