//! `tessera start`: runs the server until a signal ends it.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::ValueHint;
use cli::exit::invalid_input;
use daemon::{
    Environment, Overrides,
    config::Config,
    process::{self, Ended},
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tessera start\n  tessera start -c tessera.yaml --diag-addr=127.0.0.1:3000\n  \
                        tessera start --apply-on-startup=roles.yaml\n\n\
                        Signals: TERM and INT stop within 5 s, QUIT lets running calls finish, HUP and USR2 begin anew \
                        in the same process with the configuration and the program file as they are then (the ports \
                        stay open), USR1 writes diagnostics to the log.")]
pub(crate) struct Args {
    /// Configuration file [default: $TELEPORT_CONFIG_FILE, /etc/tessera.yaml, /etc/teleport.yaml, or an embedded
    /// default].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Services to run, comma separated; all but auth are not supported yet.
    #[arg(short, long, value_name = "ROLES", value_delimiter = ',', value_parser = daemon::ROLES)]
    roles: Vec<String>,
    /// Token to join a cluster with.
    #[arg(long)]
    token: Option<String>,
    /// Pin of the CA of the cluster to join, `sha256:…`.
    #[arg(long)]
    ca_pin: Vec<String>,
    /// Address of the auth service of the cluster to join.
    #[arg(long)]
    auth_server: Option<String>,
    /// Name of this machine in the cluster.
    #[arg(long)]
    nodename: Option<String>,
    /// Labels of this machine.
    #[arg(long)]
    labels: Option<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long)]
    diag_addr: Option<String>,
    /// Do not verify the certificates of others.
    #[arg(long)]
    insecure: bool,
    /// Serve the web port without TLS.
    #[arg(long)]
    insecure_no_tls: bool,
    /// Allow FIPS 140 algorithms only.
    #[arg(long)]
    fips: bool,
    /// Write the process id to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pid_file: Option<PathBuf>,
    /// IP address that others are told to reach this machine at.
    #[arg(long)]
    advertise_ip: Option<IpAddr>,
    /// IP address that services listen on.
    #[arg(short, long, value_name = "IP")]
    listen_ip: Option<IpAddr>,
    /// Documents to apply at each start: token, role, user, bot, cluster configuration.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    apply_on_startup: Option<PathBuf>,
    /// Documents that a new cluster begins with.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bootstrap: Option<PathBuf>,
    /// Let SSH users set environment variables.
    #[arg(long)]
    permit_user_env: bool,
    /// Do not compare versions with the rest of the cluster.
    #[arg(long)]
    skip_version_check: bool,
    /// Name of an application to serve.
    #[arg(long)]
    app_name: Option<String>,
    /// Address of an application to serve.
    #[arg(long)]
    app_uri: Option<String>,
    /// Public address of an application to serve.
    #[arg(long)]
    app_public_addr: Option<String>,
    /// Log what helps to find a fault.
    #[arg(short, long)]
    debug: bool,
}

impl Args {
    /// The flags of parts that are not built yet, with whether they were given.
    fn later(&self) -> [(&'static str, bool); 12] {
        [
            ("--token", self.token.is_some()),
            ("--ca-pin", !self.ca_pin.is_empty()),
            ("--auth-server", self.auth_server.is_some()),
            ("--labels", self.labels.is_some()),
            ("--insecure", self.insecure),
            ("--insecure-no-tls", self.insecure_no_tls),
            ("--fips", self.fips),
            ("--permit-user-env", self.permit_user_env),
            ("--skip-version-check", false),
            ("--app-name", self.app_name.is_some()),
            ("--app-uri", self.app_uri.is_some()),
            ("--app-public-addr", self.app_public_addr.is_some()),
        ]
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if let Some((flag, _)) = args.later().into_iter().find(|(_, is_given)| *is_given) {
        bail!(domain::Error::unsupported(format!("{flag} belongs to a service that is not supported yet")));
    }
    // Versions are only compared once there are other servers.
    let _ = args.skip_version_check;
    process::hold_signals().context("signals cannot be held")?;
    let config = load(&args)?;
    let handover = process::inherited();
    let environment = Environment {
        bootstrap: args.bootstrap.clone(),
        apply_on_startup: args.apply_on_startup.clone(),
        handover: Some(handover.clone()),
        ..Environment::system()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let check = || load(&args).map(|_| ());
    let outcome = runtime.block_on(Box::pin(process::run(config, environment, check)));
    // A blocking thread that still waits for a disk must not hold the process.
    runtime.shutdown_background();
    match outcome? {
        Ended::Stopped => Ok(()),
        Ended::Restart => Err(process::replace(&handover)),
    }
}

/// The configuration: the file, and what the flags say instead.
fn load(args: &Args) -> anyhow::Result<Config> {
    let mut config = daemon::config::find(args.config.as_deref()).map_err(invalid_input)?.config;
    let overrides = Overrides {
        roles: args.roles.iter().cloned().collect(),
        nodename: args.nodename.clone(),
        diag_addr: args.diag_addr.clone(),
        pid_file: args.pid_file.clone(),
        advertise_ip: args.advertise_ip,
        listen_ip: args.listen_ip,
        debug: args.debug,
    };
    overrides.apply(&mut config)?;
    Ok(config)
}
