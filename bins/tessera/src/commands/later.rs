//! Commands of parts that are not built: known by name, so that a script learns why they fail.

use std::ffi::OsString;

use domain::Error;

/// Whatever follows the name of a command that is not built.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

/// What cannot be done yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Later {
    /// Copy or change what the store holds (not supported yet).
    #[command(hide = true)]
    Backend(Rest),
    /// Serve databases (not supported yet).
    #[command(hide = true)]
    Db(Rest),
    /// Prepare the discovery of resources (not supported yet).
    #[command(hide = true)]
    Discovery(Rest),
    /// Prepare integrations (not supported yet).
    #[command(hide = true)]
    Integration(Rest),
    /// Enrol a host that runs OpenSSH (not supported yet).
    #[command(hide = true)]
    Join(Rest),
    /// Prepare an SSH host (not supported yet).
    #[command(hide = true)]
    Node(Rest),
    /// The SSH session that this runs in (not supported yet).
    #[command(hide = true)]
    Status(Rest),
}

pub(crate) fn run(command: &Later) -> anyhow::Result<()> {
    let (name, part) = match command {
        Later::Backend(_) => ("backend", "other storage than SQLite; back up as the server guide says"),
        Later::Db(_) => ("db", "access to databases"),
        Later::Discovery(_) => ("discovery", "the discovery of resources"),
        Later::Integration(_) => ("integration", "integrations"),
        Later::Join(_) => ("join", "access to SSH hosts"),
        Later::Node(_) => ("node", "access to SSH hosts"),
        Later::Status(_) => {
            ("status", "access to SSH hosts; for the server use tessera debug readyz, for the cluster tctl status")
        }
    };
    Err(Error::unsupported(format!("tessera {name} is not supported yet: it comes with {part}")).into())
}
