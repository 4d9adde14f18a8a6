//! `tbot completion`: a script that teaches a shell our command line.

use clap::CommandFactory;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tbot completion bash > /etc/bash_completion.d/tbot")]
pub(crate) struct Args {
    /// The shell.
    shell: cli::completion::Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    super::print(&cli::completion::script(&mut crate::args::Cli::command(), args.shell))
}
