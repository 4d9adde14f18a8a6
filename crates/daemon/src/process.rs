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

/// How long a restart (HUP, USR2) waits for calls that are running. Watches never end by themselves, and nobody is served
/// until the new server has the port.
const RESTART: Duration = Duration::from_secs(1);

/// How long a graceful stop (QUIT) waits for calls that are running.
const GRACEFUL_STOP: Duration = Duration::from_secs(30 * 3600);

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal told it to stop.
    Stopped,
    /// A signal told it to begin anew: the caller replaces the process by one with the same arguments.
    Restart,
}

/// Runs a server until a signal ends it.
///
/// `check` reads the configuration again before a restart: a file with a mistake must not end a server that works.
///
/// # Errors
/// When it cannot start, or a part of it cannot go on.
pub async fn run(
    config: Config,
    environment: Environment,
    check: impl Fn() -> anyhow::Result<()> + Send,
) -> anyhow::Result<Ended> {
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
            return Ok(Ended::Stopped);
        }
    };
    let took = clock.monotonic().saturating_sub(began);
    tracing::info!(milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "started");
    notifier.ready();
    let process = Process { notifier: &notifier, log: &log, delay: config.teleport.shutdown_delay, clock: &clock };
    let (outcome, ended) = process.drain(server, &mut signals, check).await;
    match outcome.fatal {
        Some(error) => bail!(error),
        None => Ok(ended),
    }
}

async fn stop_signal(signals: &mut Signals) -> Signal {
    loop {
        match signals.next().await {
            Signal::Reload | Signal::User1 | Signal::User2 => {}
            signal => return signal,
        }
    }
}

/// What obeying signals needs.
struct Process<'a> {
    notifier: &'a Notifier,
    log: &'a Handle,
    delay: Duration,
    clock: &'a Clock,
}

impl Process<'_> {
    /// Obeys signals until the server has come to its end.
    async fn drain(
        &self,
        server: Server,
        signals: &mut Signals,
        check: impl Fn() -> anyhow::Result<()>,
    ) -> (service::Outcome, Ended) {
        let supervisor = server.supervisor().clone();
        let readiness = server.readiness().clone();
        let stopping = readiness.register("shutdown");
        stopping.ready();
        let running = server.run(GRACEFUL_STOP);
        tokio::pin!(running);
        let (mut soft_stop, mut hard_stop) = (never(), never());
        let (mut is_stopping, mut ended) = (false, Ended::Stopped);
        loop {
            let signal = tokio::select! {
                outcome = &mut running => return (outcome, ended),
                () = &mut soft_stop => {
                    supervisor.stop().soft();
                    soft_stop = never();
                    continue;
                }
                () = &mut hard_stop => {
                    supervisor.stop().hard();
                    hard_stop = never();
                    continue;
                }
                signal = signals.next() => signal,
            };
            match signal {
                // A second signal means that somebody has waited long enough.
                Signal::Stop if is_stopping => {
                    ended = Ended::Stopped;
                    supervisor.stop().hard();
                }
                Signal::Stop | Signal::StopGracefully => {
                    tracing::info!(?signal, "stopping");
                    self.notifier.stopping();
                    stopping.unready("shutting down");
                    // Whoever balances the load looks at /readyz and has this long to send others elsewhere.
                    soft_stop = after(self.clock, self.delay);
                    if signal == Signal::Stop {
                        hard_stop = after(self.clock, self.delay + FAST_STOP);
                    }
                    (is_stopping, ended) = (true, Ended::Stopped);
                }
                // The first signal decides; the log file is opened again whatever comes of the rest.
                Signal::Reload | Signal::User2 => {
                    if let Err(error) = self.log.reopen() {
                        tracing::error!(%error, "the log file cannot be opened again");
                    }
                    if is_stopping {
                        continue;
                    }
                    if let Err(error) = check() {
                        tracing::error!(%error, "not restarted: the configuration is refused; the server goes on as it is");
                        continue;
                    }
                    tracing::info!(?signal, "restarting with the configuration as it is now");
                    self.notifier.reloading();
                    stopping.unready("restarting");
                    // The new server needs the data directory and the port, so there is no time to drain for hours.
                    soft_stop = after(self.clock, Duration::ZERO);
                    hard_stop = after(self.clock, RESTART);
                    (is_stopping, ended) = (true, Ended::Restart);
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
