//! `tessera app start`: the agent beside one application, without a file.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use daemon::{AppFlags, Environment, Overrides};

use super::start;

const EXAMPLE: &str = "Example:\n  tessera app start --name=grafana --uri=http://localhost:3000 --token=/etc/token \\\n    \
                       --auth-server=proxy.example.com:443 --ca-pin=sha256:…";

/// What can be done.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an application reachable through a cluster.
    Start(Box<Start>),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
struct Start {
    /// Configuration file, for everything that no flag says [default: as for start].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Name of the application.
    #[arg(long, requires = "uri")]
    name: Option<String>,
    /// Address of the application, such as http://localhost:3000.
    #[arg(long, requires = "name")]
    uri: Option<String>,
    /// Public address of the application, instead of a name below the proxy's.
    #[arg(long, requires = "name")]
    public_addr: Option<String>,
    /// Labels of the application, `key=value,key=value`.
    #[arg(long, requires = "name")]
    labels: Option<String>,
    /// Token to join the cluster with, or the path of a file that holds it.
    #[arg(long)]
    token: Option<String>,
    /// Address of a proxy of the cluster, or of its auth service.
    #[arg(long)]
    auth_server: Option<String>,
    /// Pin of the cluster's CA, `sha256:…`.
    #[arg(long)]
    ca_pin: Vec<String>,
    /// Believe whoever answers when this host joins; who sits on the wire reads the token. Give --ca-pin instead.
    #[arg(long)]
    insecure: bool,
    /// Name of this machine in the cluster.
    #[arg(long)]
    nodename: Option<String>,
    /// Where the identity of this machine is kept.
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long)]
    diag_addr: Option<String>,
    /// Write the process id to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pid_file: Option<PathBuf>,
    /// Log what helps to find a fault.
    #[arg(short, long)]
    debug: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let Command::Start(args) = args.command;
    let args = *args;
    let app = args.name.zip(args.uri).map(|(name, uri)| AppFlags {
        name,
        uri,
        prefix: "--",
        public_addr: args.public_addr,
        labels: args.labels.unwrap_or_default(),
    });
    let flags = Overrides {
        roles: vec!["app".to_owned()],
        token: args.token,
        auth_server: args.auth_server,
        ca_pins: args.ca_pin,
        insecure: args.insecure,
        app,
        nodename: args.nodename,
        data_dir: args.data_dir,
        diag_addr: args.diag_addr,
        pid_file: args.pid_file,
        debug: args.debug,
        ..Overrides::default()
    };
    start::serve(args.config.as_deref(), &flags, Environment::system())
}
