//! `tbot proxy`: a local listener that shows the certificate which a running tbot keeps fresh.

use std::{path::PathBuf, sync::Arc};

use app_access::{Cached, Door, Keyring, Listener, Local};
use bot::{Config, Overrides, config::Destination, local::Files, reissue::Reissue};
use cli::Advice as _;
use client::Proxies;
use clock::Clock;
use crypto::Random;
use service::Signals;
use telemetry::log;

use super::{invalid, later, print, refused};
use crate::args::{Globals, LogFormat};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tbot proxy --destination-dir=/opt/machine-id app --port=1234 grafana-example\n  \
                        tbot -c /etc/tbot.yaml proxy --proxy-server=example.com:3080 app --port=1234 grafana-example\n\
                        Whoever reaches the port acts as the bot.")]
pub(crate) struct Args {
    /// The directory of an output [default: the one of the configuration that names the application].
    #[arg(long, global = true, value_name = "DIR")]
    destination_dir: Option<PathBuf>,
    /// Address of the proxy [env: TELEPORT_PROXY; default: that of the configuration, else the application's own name].
    #[arg(long, global = true, visible_alias = "proxy", value_name = "HOST:PORT")]
    proxy_server: Option<String>,
    /// Leaf cluster.
    #[arg(long, global = true)]
    cluster: Option<String>,
    #[command(subcommand)]
    to: To,
}

/// Where it leads.
#[derive(Debug, clap::Subcommand)]
enum To {
    /// Carry what comes to a local port to an application.
    #[command(after_help = "Example:\n  tbot proxy --destination-dir=/opt/machine-id app --port=1234 grafana-example")]
    App(App),
    /// To a database (not supported yet).
    #[command(hide = true)]
    Db(super::Later),
    /// To SSH hosts (not supported yet).
    #[command(hide = true)]
    Ssh(super::Later),
    /// To a Kubernetes cluster (not supported yet).
    #[command(hide = true)]
    Kube(super::Later),
}

/// Flags.
#[derive(Debug, clap::Args)]
struct App {
    /// Name of the application.
    name: String,
    /// Local port, or LOCAL:TARGET for an application with several ports; 0 takes a free one.
    #[arg(short, long, default_value = "0", value_name = "PORT", value_parser = cli::ports)]
    port: (u16, u16),
    /// The application speaks no HTTP: carry bytes as they come.
    #[arg(long)]
    tcp: bool,
}

pub(crate) async fn run(args: Args, globals: &Globals) -> anyhow::Result<()> {
    let app = match args.to {
        To::App(app) => app,
        To::Db(_) => return later("proxy db", "access to databases"),
        To::Ssh(_) => return later("proxy ssh", "access to SSH hosts through a proxy"),
        To::Kube(_) => return later("proxy kube", "access to Kubernetes"),
    };
    if let Some(leaf) = args.cluster {
        let message = format!("--cluster={leaf}: applications of leaf clusters are not supported yet");
        return Err(domain::Error::unsupported(message).into());
    }
    let (port, target_port) = app.port;
    let config = match &globals.config {
        Some(path) => Config::load(Some(path), Overrides::default()).map_err(refused)?,
        None => Config::default(),
    };
    let wanted = if target_port == 0 {
        "an output of type application"
    } else {
        "an output of type identity with allow_reissue: true"
    };
    let directory =
        args.destination_dir.or_else(|| directory_of(&config, &app.name, target_port)).ok_or_else(|| {
            invalid(format!("give --destination-dir, the directory of {wanted}, or -c FILE that has one"))
        })?;
    let proxy = args.proxy_server.or_else(|| variable("TELEPORT_PROXY")).or(config.proxy_server);
    start_log(globals)?;
    let clock = Clock::system();
    let proxies = Proxies::from_variables(variable).map_err(invalid)?;
    let keyring: Arc<dyn Keyring> = if target_port == 0 {
        let held = None.into();
        Arc::new(Files { directory, proxy, is_tcp: app.tcp, proxies, clock: clock.clone(), held })
    } else {
        let proxy = proxy.ok_or_else(|| invalid("--port=LOCAL:TARGET needs the proxy: give --proxy-server"))?;
        let random = Random::system();
        let reissue = Reissue { directory, proxy, target_port, proxies, clock: clock.clone(), random };
        Arc::new(Cached::new(reissue, clock.clone()))
    };
    // What is wrong with the files is told now, not to the first program that connects.
    keyring.access(&app.name).await?;
    let listener = Listener::bind(&format!("tcp://127.0.0.1:{port}"))
        .await
        .advise(|| "give --port another one, or 0 for one that is free")?;
    let signals = Signals::install()?;
    let place = listener.to_string().replace("tcp://", "");
    print(&format!("Proxying connections to {} on {place}\n", app.name))?;
    let (door, random) = (Door::Tunnel(app.name), Random::system());
    app_access::serve_until_told(Local { listener, door, keyring, clock, random }, signals).await;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a tool reads the environment of the person who runs it")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The directory of the output that leads to the application, or may be exchanged for a certificate that does.
fn directory_of(config: &Config, app: &str, target_port: u16) -> Option<PathBuf> {
    let leads = |service: &&bot::config::Service| match target_port {
        0 => service.kind.name == "application" && service.text("app_name") == app,
        _ => service.kind.name == "identity" && service.flag("allow_reissue"),
    };
    match &config.services.iter().find(leads)?.destination {
        Some(Destination::Directory(directory)) => Some(directory.path.clone()),
        _ => None,
    }
}

fn start_log(globals: &Globals) -> anyhow::Result<()> {
    let severity = if globals.debug { log::Severity::Debug } else { log::Severity::Info };
    let format = match globals.log_format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    let components = &[("bot", "TBOT"), ("client", "TBOT:CLIENT"), ("app_access", "TBOT:APP"), ("tbot", "TBOT")];
    log::init(&log::Config { severity, format, components, ..log::Config::default() }, Clock::system())?;
    Ok(())
}
