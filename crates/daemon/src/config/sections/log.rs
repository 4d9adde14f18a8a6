//! `teleport.log`: what is logged, how, and where to.

use std::path::PathBuf;

use serde::{Serialize, Serializer};
use telemetry::log::Extra;

use crate::config::fields::Fields;

/// What is logged, how, and where to.
#[derive(Clone, Debug, Serialize)]
pub struct Log {
    /// Where records go.
    pub output: LogOutput,
    /// The least severe record that is kept.
    pub severity: Severity,
    /// How a record is written.
    pub format: LogFormat,
}

/// Where log records go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// How severe a log record must be to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

/// How a log record is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogFormat {
    /// One line for people, or one JSON object for programs.
    pub output: LogStyle,
    /// What every record carries besides message and fields; all of it unless the file chooses.
    pub extra_fields: Vec<ExtraField>,
}

/// Something that a record can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraField(Extra);

impl ExtraField {
    /// As the log knows it.
    pub(crate) fn extra(self) -> Extra {
        self.0
    }
}

impl Serialize for ExtraField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// The shape of a log record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStyle {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Severity {
    /// The word that a tracing filter understands.
    pub fn filter(self) -> &'static str {
        match self {
            Severity::Trace => "trace",
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }
}

impl Serialize for LogOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LogOutput::Stderr => serializer.serialize_str("stderr"),
            LogOutput::Stdout => serializer.serialize_str("stdout"),
            LogOutput::File(path) => serializer.collect_str(&path.display()),
        }
    }
}

const SEVERITIES: [(&str, Severity); 9] = [
    ("info", Severity::Info),
    ("debug", Severity::Debug),
    ("trace", Severity::Trace),
    ("warn", Severity::Warn),
    ("warning", Severity::Warn),
    ("error", Severity::Error),
    ("err", Severity::Error),
    ("fatal", Severity::Error),
    ("critical", Severity::Error),
];

pub(super) fn read(fields: Fields<'_>) -> Log {
    let output = fields.parsed("output", |text| {
        Ok(match text {
            "" | "stderr" | "error" | "2" => LogOutput::Stderr,
            "stdout" | "out" | "1" => LogOutput::Stdout,
            "syslog" => return Err("syslog is not supported yet, use stderr under systemd".to_owned()),
            path => LogOutput::File(path.into()),
        })
    });
    let format = fields.section_or_empty("format");
    let log = Log {
        output: output.unwrap_or_default(),
        severity: fields.choice("severity", &SEVERITIES).unwrap_or_default(),
        format: LogFormat {
            output: format.choice("output", &[("text", LogStyle::Text), ("json", LogStyle::Json)]).unwrap_or_default(),
            extra_fields: extra_fields(&format),
        },
    };
    format.finish();
    fields.finish();
    log
}

/// As documented: none chosen means all.
fn extra_fields(format: &Fields<'_>) -> Vec<ExtraField> {
    let names = Extra::ALL.map(|extra| (extra.as_str(), ExtraField(extra)));
    let chosen = format.choices("extra_fields", &names).unwrap_or_default();
    if chosen.is_empty() { Extra::ALL.map(ExtraField).to_vec() } else { chosen }
}
