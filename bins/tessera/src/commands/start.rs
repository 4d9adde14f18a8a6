//! `tessera start`: runs the server until a signal ends it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueHint;
use cli::exit::invalid_input;
use daemon::{
    AppFlags, Environment, Overrides, config,
    process::{self, Ended},
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tessera start\n  tessera start -c tessera.yaml --diag-addr=127.0.0.1:3000\n  \
                        tessera start --apply-on-startup=roles.yaml\n  \
                        tessera start --roles=proxy --token=/etc/token --auth-server=auth.example.com --ca-pin=sha256:…\n\n\
                        Signals: TERM and INT stop within 5 s, QUIT lets running calls finish, HUP and USR2 begin anew \
                        in the same process with the configuration and the program file as they are then (the ports \
                        stay open), USR1 writes diagnostics to the log.")]
pub(crate) struct Args {
    /// Configuration file [default: $TELEPORT_CONFIG_FILE, /etc/tessera.yaml, /etc/teleport.yaml, or an embedded
    /// default].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Services to run, comma separated: auth, proxy, app; the others are not supported yet [default: as in the file].
    #[arg(short, long, value_name = "ROLES", value_delimiter = ',', value_parser = daemon::ROLES)]
    roles: Vec<String>,
    /// Token to join a cluster with, or the path of a file that holds it.
    #[arg(long)]
    token: Option<String>,
    /// Pin of the CA of the cluster to join, `sha256:…`.
    #[arg(long)]
    ca_pin: Vec<String>,
    /// Address of the auth service of the cluster to join, or of a proxy that leads to it.
    #[arg(long)]
    auth_server: Option<String>,
    /// Name of this machine in the cluster.
    #[arg(long)]
    nodename: Option<String>,
    /// Labels of the application, `key=value,key=value`.
    #[arg(long)]
    labels: Option<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long)]
    diag_addr: Option<String>,
    /// Believe whoever answers when this host joins; who sits on the wire reads the token. Give --ca-pin instead.
    #[arg(long)]
    insecure: bool,
    /// Serve the web port without TLS (not supported).
    #[arg(long, hide = true)]
    insecure_no_tls: bool,
    /// Run with a validated FIPS 140 module only (not supported).
    #[arg(long, hide = true)]
    fips: bool,
    /// Write the process id to this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pid_file: Option<PathBuf>,
    /// IP address that others are told to reach this machine at.
    #[arg(long)]
    advertise_ip: Option<IpAddr>,
    /// IP address that all public ports listen on, whatever the file says.
    #[arg(short, long, value_name = "IP")]
    listen_ip: Option<IpAddr>,
    /// Documents to apply at each start: token, role, user, bot, cluster configuration.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    apply_on_startup: Option<PathBuf>,
    /// Documents that a new cluster begins with.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bootstrap: Option<PathBuf>,
    /// Let SSH users set environment variables (not supported yet).
    #[arg(long, hide = true)]
    permit_user_env: bool,
    /// Do not compare versions with the rest of the cluster.
    #[arg(long)]
    skip_version_check: bool,
    /// Name of an application to serve.
    #[arg(long, requires = "app_uri")]
    app_name: Option<String>,
    /// Address of an application to serve.
    #[arg(long, requires = "app_name")]
    app_uri: Option<String>,
    /// Public address of an application to serve.
    #[arg(long, requires = "app_name")]
    app_public_addr: Option<String>,
    /// Log what helps to find a fault.
    #[arg(short, long)]
    debug: bool,
}

impl Args {
    /// The flags that cannot be obeyed, whether they were given, and why not.
    fn refused(&self) -> [(&'static str, bool, &'static str); 4] {
        let ssh = "belongs to access to SSH hosts, which is not supported yet";
        [
            ("--labels without --app-name", self.labels.is_some() && self.app_name.is_none(), ssh),
            ("--permit-user-env", self.permit_user_env, ssh),
            (
                "--insecure-no-tls",
                self.insecure_no_tls,
                "is not supported: agents, bots and applications are told apart by what their TLS handshakes say; let the \
                 balancer in front pass TCP on, or speak TLS to the proxy",
            ),
            (
                "--fips",
                self.fips,
                "is not supported: this program contains no validated FIPS 140 module; for the algorithms alone set \
                 auth_service.authentication.signature_algorithm_suite to fips-v1",
            ),
        ]
    }

    fn overrides(&self) -> Overrides {
        let app = self.app_name.clone().zip(self.app_uri.clone()).map(|(name, uri)| AppFlags {
            name,
            uri,
            prefix: "--app-",
            public_addr: self.app_public_addr.clone(),
            labels: self.labels.clone().unwrap_or_default(),
        });
        Overrides {
            roles: self.roles.clone(),
            token: self.token.clone(),
            ca_pins: self.ca_pin.clone(),
            auth_server: self.auth_server.clone(),
            app,
            data_dir: None,
            nodename: self.nodename.clone(),
            diag_addr: self.diag_addr.clone(),
            pid_file: self.pid_file.clone(),
            advertise_ip: self.advertise_ip,
            listen_ip: self.listen_ip,
            insecure: self.insecure,
            debug: self.debug,
        }
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if let Some((flag, _, why)) = args.refused().into_iter().find(|(_, is_given, _)| *is_given) {
        bail!(domain::Error::unsupported(format!("{flag} {why}")));
    }
    // Versions are only compared once there are other servers.
    let _ = args.skip_version_check;
    let environment = Environment {
        bootstrap: args.bootstrap.clone(),
        apply_on_startup: args.apply_on_startup.clone(),
        ..Environment::system()
    };
    serve(args.config.as_deref(), &args.overrides(), environment)
}

/// Runs what the file and the flags say, until a signal ends it.
pub(super) fn serve(file: Option<&Path>, flags: &Overrides, environment: Environment) -> anyhow::Result<()> {
    process::hold_signals().context("signals cannot be held")?;
    let load = || {
        let mut config = config::find(file)?.config;
        flags.clone().apply(&mut config)?;
        anyhow::Ok(config)
    };
    let config = load().map_err(|error| if error.is::<config::Error>() { invalid_input(error) } else { error })?;
    let handover = process::inherited();
    let environment = Environment { handover: Some(handover.clone()), ..environment };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(Box::pin(process::run(config, environment, load)));
    // A blocking thread that still waits for a disk must not hold the process.
    runtime.shutdown_background();
    match outcome? {
        Ended::Stopped => Ok(()),
        Ended::Restart => Err(process::replace(&handover)),
    }
}
