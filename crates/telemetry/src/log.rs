//! Logging: where lines go, how they look, how much is said, and changing that while running.

mod layer;
mod line;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use clock::Clock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Registry, filter::Targets, layer::SubscriberExt, reload};

pub use line::{Extra, Format};
pub use writer::Output;
use writer::Writer;

/// Crates that tell more than an operator asked for; they speak from `warn` up, unless everything is traced.
const TALKATIVE: &[&str] = &["h2", "hyper", "hyper_util", "rustls", "tokio_util", "tonic", "tower"];

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// Failures that need somebody.
    Error,
    /// What may become a failure.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything, other people's crates included.
    Trace,
}

/// The name of a severity was not understood.
#[derive(Debug, thiserror::Error)]
#[error("log severity {0:?} is none of error, warn, info, debug, trace")]
pub struct UnknownSeverity(String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "error" | "err" | "fatal" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "" | "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return Err(UnknownSeverity(name.to_owned())),
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        })
    }
}

impl Severity {
    fn filter(self) -> Targets {
        let level = match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => return Targets::new().with_default(LevelFilter::TRACE),
        };
        let quiet = level.min(LevelFilter::WARN);
        Targets::new().with_default(level).with_targets(TALKATIVE.iter().map(|target| (*target, quiet)))
    }
}

/// Everything about a process's log.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where lines go.
    pub output: Output,
    /// How much is said.
    pub severity: Severity,
    /// How lines look.
    pub format: Format,
    /// What each line carries besides message and fields.
    pub extra: Vec<Extra>,
    /// Names for components, by the crate (first part of the target) that speaks; others are shown in capitals.
    pub components: &'static [(&'static str, &'static str)],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            output: Output::Stderr,
            severity: Severity::Info,
            format: Format::Text,
            extra: Extra::ALL.to_vec(),
            components: &[],
        }
    }
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The log file cannot be opened.
    #[error("log file {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The output is not built.
    #[error("log output \"syslog\" is not supported yet; write to stderr and let the service manager collect it")]
    Syslog,
    /// This process logs already.
    #[error("logging is set up already")]
    Twice,
}

/// Changes a running log.
#[derive(Clone)]
pub struct Handle {
    filter: reload::Handle<Targets, Registry>,
    severity: Arc<Mutex<Severity>>,
    writer: Arc<Writer>,
}

impl Handle {
    /// Says more, or less, from now on.
    pub fn set_severity(&self, severity: Severity) {
        let mut current = self.severity.lock().unwrap_or_else(PoisonError::into_inner);
        *current = severity;
        // Fails only when the subscriber is gone, and with it everybody who could notice.
        let _ = self.filter.reload(severity.filter());
    }

    /// How much is said now.
    pub fn severity(&self) -> Severity {
        *self.severity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the log file anew, after somebody has moved it away.
    ///
    /// # Errors
    /// It cannot be opened; lines go to the old one as before.
    pub fn reopen(&self) -> std::io::Result<()> {
        self.writer.reopen()
    }
}

/// Sets up the process's log.
///
/// # Errors
/// The output cannot be opened, or it was set up before.
pub fn init(config: &Config, clock: Clock) -> Result<Handle, InitError> {
    let (subscriber, handle) = subscriber(config, clock)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::Twice)?;
    Ok(handle)
}

/// The subscriber that [`init`] makes the process's own; for tests that log into a file of theirs.
///
/// # Errors
/// The output cannot be opened.
pub fn subscriber(
    config: &Config,
    clock: Clock,
) -> Result<(impl tracing::Subscriber + Send + Sync + use<>, Handle), InitError> {
    let writer = Arc::new(Writer::open(&config.output)?);
    let (filter, reload) = reload::Layer::new(config.severity.filter());
    let lines = layer::Lines::new(config, clock, Arc::clone(&writer));
    let subscriber = Registry::default().with(filter).with(lines);
    Ok((subscriber, Handle { filter: reload, severity: Arc::new(Mutex::new(config.severity)), writer }))
}
