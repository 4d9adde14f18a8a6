//! A server as a process: log, pid file, signals, the service manager.

use std::{pin::Pin, time::Duration};

use anyhow::{Context, bail};
use clock::Clock;
use service::{Notifier, PidFile, Signal, Signals};
use telemetry::log::Handle;

use crate::{
    config::Config,
    logging,
    server::{Environment, Server},
};

/// How long a fast stop (TERM, INT) waits for calls that are running.
const FAST_STOP: Duration = Duration::from_secs(5);

/// How long a graceful stop (QUIT) waits for calls that are running.
const GRACEFUL_STOP: Duration = Duration::from_secs(30 * 3600);

/// Runs a server until a signal ends it.
///
/// # Errors
/// When it cannot start, or a part of it cannot go on.
pub async fn run(config: Config, environment: Environment) -> anyhow::Result<()> {
    let log = telemetry::log::init(&logging::config(&config.teleport.log), environment.clock.clone())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::install().context("signals cannot be taken over")?;
    let _pid_file = config.teleport.pid_file.as_ref().map(PidFile::write).transpose()?;
    let notifier = Notifier::new(notify_socket().as_deref()).context("NOTIFY_SOCKET cannot be reached")?;
    let began = environment.clock.monotonic();
    let clock = environment.clock.clone();
    let start = Server::start(&config, environment);
    let server = tokio::select! {
        started = start => started?,
        signal = stop_signal(&mut signals) => {
            tracing::info!(?signal, "stopped before the start was done");
            return Ok(());
        }
    };
    let took = clock.monotonic().saturating_sub(began);
    tracing::info!(milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "started");
    notifier.ready();
    let outcome = drain(server, &mut signals, &notifier, &log, config.teleport.shutdown_delay, &clock).await;
    match outcome.fatal {
        Some(error) => bail!(error),
        None => Ok(()),
    }
}

async fn stop_signal(signals: &mut Signals) -> Signal {
    loop {
        match signals.next().await {
            Signal::Reload | Signal::User1 => {}
            signal => return signal,
        }
    }
}

/// Obeys signals until the server has come to its end.
async fn drain(
    server: Server,
    signals: &mut Signals,
    notifier: &Notifier,
    log: &Handle,
    delay: Duration,
    clock: &Clock,
) -> service::Outcome {
    let supervisor = server.supervisor().clone();
    let readiness = server.readiness().clone();
    let stopping = readiness.register("shutdown");
    stopping.ready();
    let running = server.run(GRACEFUL_STOP);
    tokio::pin!(running);
    let (mut soft_stop, mut hard_stop) = (never(), never());
    let mut is_stopping = false;
    loop {
        tokio::select! {
            outcome = &mut running => return outcome,
            () = &mut soft_stop => {
                supervisor.stop().soft();
                soft_stop = never();
            }
            () = &mut hard_stop => {
                supervisor.stop().hard();
                hard_stop = never();
            }
            signal = signals.next() => match signal {
                // A second signal means that somebody has waited long enough.
                Signal::Stop if is_stopping => supervisor.stop().hard(),
                Signal::Stop | Signal::StopGracefully => {
                    tracing::info!(?signal, "stopping");
                    notifier.stopping();
                    stopping.unready("shutting down");
                    // Whoever balances the load looks at /readyz and has this long to send others elsewhere.
                    soft_stop = after(clock, delay);
                    if signal == Signal::Stop {
                        hard_stop = after(clock, delay + FAST_STOP);
                    }
                    is_stopping = true;
                }
                Signal::Reload => {
                    if let Err(error) = log.reopen() {
                        tracing::error!(%error, "the log file cannot be opened again");
                    }
                    tracing::info!("log file opened again; a changed configuration needs a restart");
                }
                Signal::User1 => {
                    let report = serde_json::to_string(&readiness.report()).unwrap_or_default();
                    tracing::info!(report, tasks = ?supervisor.running(), "diagnostics");
                }
            }
        }
    }
}

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

fn never() -> Timer {
    Box::pin(std::future::pending())
}

fn after(clock: &Clock, delay: Duration) -> Timer {
    let clock = clock.clone();
    Box::pin(async move { clock.sleep(delay).await })
}

#[expect(clippy::disallowed_methods, reason = "the daemon resolves the environment for everybody below it")]
fn notify_socket() -> Option<String> {
    std::env::var("NOTIFY_SOCKET").ok()
}
