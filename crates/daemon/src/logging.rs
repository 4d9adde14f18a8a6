//! The `log` section as the log's own configuration.

use telemetry::log::{Config, Format, Output, Severity};

use crate::config::{self, LogOutput};

/// What operators call our crates in a log.
const COMPONENTS: &[(&str, &str)] = &[
    ("auth", "AUTH"),
    ("auth_grpc", "API"),
    ("storage_sqlite", "STORE"),
    ("store", "STORE"),
    ("audit", "AUDIT"),
    ("keystore", "KEYS"),
    ("daemon", "PROC"),
    ("service", "PROC"),
    ("net", "NET"),
];

/// The log that a file asks for.
pub(crate) fn config(log: &config::Log) -> Config {
    let output = match &log.output {
        LogOutput::Stderr => Output::Stderr,
        LogOutput::Stdout => Output::Stdout,
        LogOutput::File(path) => Output::File(path.clone()),
    };
    let format = match log.format.output {
        config::LogStyle::Text => Format::Text,
        config::LogStyle::Json => Format::Json,
    };
    let extra = log.format.extra_fields.iter().map(|field| field.extra()).collect();
    Config { output, severity: severity(log.severity), format, extra, components: COMPONENTS }
}

fn severity(severity: config::Severity) -> Severity {
    match severity {
        config::Severity::Trace => Severity::Trace,
        config::Severity::Debug => Severity::Debug,
        config::Severity::Info => Severity::Info,
        config::Severity::Warn => Severity::Warn,
        config::Severity::Error => Severity::Error,
    }
}
