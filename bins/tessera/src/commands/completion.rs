//! `tessera completion`: a script that teaches a shell our command line.

use clap::CommandFactory;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tessera completion bash > /etc/bash_completion.d/tessera")]
pub(crate) struct Args {
    /// Which shell.
    shell: cli::completion::Shell,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    cli::Output::stdout().text(cli::completion::script(&mut crate::args::Cli::command(), args.shell))
}
