//! A server as a process: log, pid file, signals, the service manager.

use std::{os::unix::process::CommandExt, pin::Pin, time::Duration};

use anyhow::{Context, bail};
use clock::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::{Handover, Notifier, Signal, Signals};
use telemetry::log::Handle;

use crate::{
    config::{self, Config},
    logging,
    preflight::Running,
    server::{Environment, Server},
};

/// How long a fast stop (TERM, INT) waits for calls that are running.
const FAST_STOP: Duration = Duration::from_secs(5);

/// How long a restart (HUP, USR2) waits for calls that are running. Watches never end by themselves, and who connects
/// meanwhile waits for the new server.
const RESTART: Duration = Duration::from_secs(1);

/// How long a graceful stop (QUIT) waits for calls that are running.
const GRACEFUL_STOP: Duration = Duration::from_secs(30 * 3600);

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal told it to stop.
    Stopped,
    /// A signal told it to begin anew: the caller replaces the program image, with the same arguments, by
    /// [`replace`]. Signals wait from here on.
    Restart,
}

/// Says to a program image that its standard input holds the ports of the one before it: the process id, so that a
/// child process does not take it for itself.
const HANDOVER: &str = "TESSERA_HANDOVER";

/// Lets signals wait until [`run`] can obey them; to be called before there are other threads. A HUP that comes too
/// early would otherwise end a process that has just replaced itself.
///
/// # Errors
/// The kernel refuses.
pub fn hold_signals() -> std::io::Result<()> {
    Signals::hold()
}

/// Files and sockets that a server should be able to have open; limits on connections are made for more than this.
const OPEN_FILES: u64 = 16_384;

/// Has as many files and sockets as the administrator allows, where a shell gave fewer.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < OPEN_FILES) {
        tracing::warn!(
            files,
            "few files may be open at once: raise the hard limit (ulimit -Hn, LimitNOFILE= of the unit)"
        );
    }
}

/// The ports that the program image before us left open; none at an ordinary start.
pub fn inherited() -> Handover {
    if variable(HANDOVER).is_none_or(|pid| pid.parse() != Ok(std::process::id())) {
        return Handover::default();
    }
    // Without them we open our own, as at an ordinary start.
    Handover::receive(std::io::stdin()).unwrap_or_default()
}

/// Begins anew in this process, which keeps its id and so its service manager, with the program file that is there now.
/// Returns only when that fails.
pub fn replace(handover: &Handover) -> anyhow::Error {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "tessera".into());
    let mut command = std::process::Command::new(&program);
    command.args(arguments);
    match handover.send() {
        Ok(ports) => {
            command.stdin(ports).env(HANDOVER, std::process::id().to_string());
        }
        Err(error) => tracing::warn!(%error, "the ports cannot be kept open over the restart"),
    }
    anyhow::Error::new(command.exec()).context(format!("{} cannot be started again", program.display()))
}

/// Runs a server until a signal ends it.
///
/// Call [`hold_signals`] first. `reread` reads the configuration again before a restart: a mistake must not end a server
/// that works.
///
/// # Errors
/// When it cannot start, or a part of it cannot go on.
pub async fn run(
    config: Config,
    mut environment: Environment,
    reread: impl Fn() -> anyhow::Result<Config> + Send,
) -> anyhow::Result<Ended> {
    let log = telemetry::log::init(&logging::config(&config.teleport.log), environment.clock.clone())?;
    for warning in config.warnings.iter().chain(&config.advice()) {
        tracing::warn!("{warning}");
    }
    raise_open_files();
    let mut signals = Signals::install().context("signals cannot be taken over")?;
    let notifier = Notifier::new(variable("NOTIFY_SOCKET").as_deref()).context("NOTIFY_SOCKET cannot be reached")?;
    let began = environment.clock.monotonic();
    let (clock, handover) = (environment.clock.clone(), environment.handover.clone());
    environment.log = Some(log.clone());
    let start = Server::start(&config, environment.clone());
    let server = tokio::select! {
        started = start => started?,
        signal = stop_signal(&mut signals) => {
            tracing::info!(?signal, "stopped before the start was done");
            return Ok(Ended::Stopped);
        }
    };
    let took = clock.monotonic().saturating_sub(began);
    tracing::info!(milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "started");
    notifier.status(&format!("serving {}", server.describe()));
    notifier.ready();
    let process = Process {
        notifier: &notifier,
        log: &log,
        handover: handover.unwrap_or_default(),
        config: &config,
        environment: &environment,
        cluster: server.cluster().map(str::to_owned),
        delay: config.teleport.shutdown_delay,
        clock: &clock,
    };
    let (outcome, ended) = process.drain(server, &mut signals, reread).await;
    match outcome.fatal {
        Some(error) => bail!(error),
        None if ended == Ended::Restart => last_call(&mut signals, &clock).await,
        None => Ok(ended),
    }
}

/// Lets signals wait for the next image, but for a stop that has come already.
async fn last_call(signals: &mut Signals, clock: &Clock) -> anyhow::Result<Ended> {
    Signals::hold().context("signals cannot be held")?;
    // What a handler has caught before the line above is still on its way through the runtime.
    match clock.timeout(LAST_CALL, stop_signal(signals)).await {
        Ok(_) => Ok(Ended::Stopped),
        Err(_) => Ok(Ended::Restart),
    }
}

/// How long a signal takes from its handler to [`Signals::next`], with room to spare.
const LAST_CALL: Duration = Duration::from_millis(2);

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
    handover: Handover,
    config: &'a Config,
    environment: &'a Environment,
    cluster: Option<String>,
    delay: Duration,
    clock: &'a Clock,
}

impl Process<'_> {
    /// Obeys signals until the server has come to its end.
    async fn drain(
        &self,
        server: Server,
        signals: &mut Signals,
        reread: impl Fn() -> anyhow::Result<Config>,
    ) -> (service::Outcome, Ended) {
        let supervisor = server.supervisor().clone();
        let readiness = server.readiness().clone();
        let stopping = readiness.register("shutdown");
        stopping.ready();
        let running = server.run(GRACEFUL_STOP);
        tokio::pin!(running);
        let (mut soft_stop, mut hard_stop) = (never(), never());
        let mut hungry = self.next_meal();
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
                () = &mut hungry => {
                    self.notifier.alive();
                    hungry = self.next_meal();
                    continue;
                }
                signal = signals.next() => signal,
            };
            match signal {
                // A second signal means that somebody has waited long enough.
                Signal::Stop if is_stopping => {
                    ended = Ended::Stopped;
                    self.handover.clear();
                    supervisor.stop().hard();
                }
                Signal::Stop | Signal::StopGracefully => {
                    tracing::info!(?signal, "stopping");
                    self.notifier.stopping();
                    // A port that nobody serves any more must not look open.
                    self.handover.clear();
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
                    self.reopen_log();
                    if is_stopping || !self.may_restart(&reread).await {
                        continue;
                    }
                    tracing::info!(?signal, "restarting with the configuration as it is now");
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

    /// When the service manager's watchdog wants to hear of us again.
    fn next_meal(&self) -> Timer {
        let watchdog = service::watchdog(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref());
        watchdog.map_or_else(never, |interval| after(self.clock, interval))
    }

    fn reopen_log(&self) {
        if let Err(error) = self.log.reopen() {
            tracing::error!(%error, "the log file cannot be opened again");
        }
    }

    /// Tells the service manager of a reload, and whether the configuration allows it; a refusal ends the reload.
    async fn may_restart(&self, reread: impl Fn() -> anyhow::Result<Config>) -> bool {
        self.notifier.reloading(self.clock.monotonic());
        let running = Running {
            config: self.config,
            environment: self.environment,
            handover: &self.handover,
            cluster: self.cluster.as_deref(),
        };
        let may = async { running.may_become(&reread()?).await };
        let Err(error) = may.await else { return true };
        let error = match error.downcast_ref() {
            Some(config::Error::Invalid(invalid)) => invalid.in_a_line(),
            Some(config::Error::Yaml(invalid)) => invalid.in_a_line(),
            _ => format!("{error:#}"),
        };
        self.notifier.status("goes on with the old configuration: the new one is refused, see the log");
        self.notifier.ready();
        tracing::error!(error, "not restarted: the configuration is refused; the server goes on as it is");
        false
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
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
