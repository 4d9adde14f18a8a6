//! `tessera debug`: asks a server that runs on this host, through the socket in its data directory.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Subcommand, ValueHint};
use cli::{Output, exit::invalid_input};
use daemon::debug::{Answer, ask};
use domain::Error;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tessera debug set-log-level DEBUG\n  tessera debug get-log-level\n  \
                        tessera debug readyz -c tessera.yaml")]
pub(crate) struct Args {
    /// The server's configuration file, which names its data directory [default: as for start].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Print how much the server logs.
    #[command(after_help = "Example:\n  tessera debug get-log-level")]
    GetLogLevel,
    /// Change how much the server logs, until it starts anew.
    #[command(after_help = "Example:\n  tessera debug set-log-level DEBUG")]
    SetLogLevel {
        /// How much.
        #[arg(ignore_case = true, value_parser = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"])]
        level: String,
    },
    /// Print whether the server is ready, and why not.
    #[command(after_help = "Example:\n  tessera debug readyz")]
    Readyz,
    /// Print what the server has counted.
    #[command(after_help = "Example:\n  tessera debug metrics")]
    Metrics,
    /// Say how to take a profile of the server.
    #[command(after_help = "Example:\n  tessera debug profile")]
    Profile {
        /// Which profiles.
        #[arg(default_value = "profile")]
        profiles: String,
    },
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let found = daemon::config::find(args.config.as_deref()).map_err(invalid_input)?;
    let data_dir = found.config.teleport.data_dir;
    let (method, path, body) = match &args.question {
        Question::GetLogLevel => ("GET", "/log-level".to_owned(), ""),
        Question::SetLogLevel { level } => ("PUT", "/log-level".to_owned(), level.as_str()),
        Question::Readyz => ("GET", "/readyz".to_owned(), ""),
        Question::Metrics => ("GET", "/metrics".to_owned(), ""),
        Question::Profile { .. } => ("GET", "/debug/pprof/profile".to_owned(), ""),
    };
    let Answer { status, body } = ask(&data_dir, method, &path, body)?;
    match status {
        200 => Output::stdout().text(body),
        503 => {
            Output::stdout().text(body)?;
            bail!(Error::unavailable("the server is not ready"))
        }
        501 => bail!(Error::unsupported(body.trim_end())),
        _ => bail!(Error::invalid(body.trim_end())),
    }
}
