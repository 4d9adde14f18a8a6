//! `tctl completion`: a script that teaches a shell our command line.

use clap::CommandFactory;

use crate::session::Session;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl completion bash > /etc/bash_completion.d/tctl")]
pub(crate) struct Args {
    /// Which shell.
    shell: cli::completion::Shell,
}

pub(crate) fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    session.out.text(cli::completion::script(&mut crate::args::Cli::command(), args.shell))
}
