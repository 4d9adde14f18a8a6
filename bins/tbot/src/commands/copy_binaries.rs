//! `tbot copy-binaries`: this program in a directory that another container mounts.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use anyhow::Context;

use super::print;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tbot copy-binaries /opt/tbot-bin")]
pub(crate) struct Args {
    /// Where to.
    directory: PathBuf,
    /// fdpass-teleport too.
    #[arg(long, overrides_with = "no_include_fdpass")]
    include_fdpass: bool,
    #[arg(long, hide = true, overrides_with = "include_fdpass")]
    no_include_fdpass: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.include_fdpass {
        let message =
            "--include-fdpass: fdpass-teleport is not supported yet; it comes with the service ssh-multiplexer";
        return Err(domain::Error::unsupported(message).into());
    }
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let place = args.directory.join("tbot");
    let failed = || format!("cannot write {}", place.display());
    fs::create_dir_all(&args.directory).with_context(failed)?;
    // Through another name: a copy that somebody runs already is replaced whole.
    let temporary = args.directory.join(format!(".tbot.{}", std::process::id()));
    let copied = fs::copy(&program, &temporary)
        .and_then(|_| fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&temporary, &place));
    if copied.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    copied.with_context(failed)?;
    print(&format!("copied {} to {}\n", program.display(), place.display()))
}
