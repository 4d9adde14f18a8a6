//! Where log lines go.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use super::InitError;

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to, made with mode 0640.
    File(PathBuf),
    /// The system log; parsed, not supported yet.
    Syslog,
}

impl FromStr for Output {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "stderr" | "error" | "2" => Self::Stderr,
            "stdout" | "out" | "1" => Self::Stdout,
            "syslog" => Self::Syslog,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

enum Sink {
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    File(PathBuf, File),
}

/// Writes whole lines, one at a time.
pub(super) struct Writer(Mutex<Sink>);

impl Writer {
    pub(super) fn open(output: &Output) -> Result<Self, InitError> {
        let sink = match output {
            Output::Stdout => Sink::Stdout(io::stdout()),
            Output::Stderr => Sink::Stderr(io::stderr()),
            Output::File(path) => {
                let file = open(path).map_err(|source| InitError::Open { path: path.clone(), source })?;
                Sink::File(path.clone(), file)
            }
            Output::Syslog => return Err(InitError::Syslog),
        };
        Ok(Self(Mutex::new(sink)))
    }

    /// Writes one line. A log that cannot be written has nobody left to tell.
    pub(super) fn line(&self, line: &str) {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = match &mut *sink {
            Sink::Stdout(out) => out.lock().write_all(line.as_bytes()),
            Sink::Stderr(out) => out.lock().write_all(line.as_bytes()),
            Sink::File(_, file) => file.write_all(line.as_bytes()),
        };
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Sink::File(path, file) = &mut *sink {
            *file = open(path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
