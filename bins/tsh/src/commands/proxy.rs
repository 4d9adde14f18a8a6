//! `tsh proxy`: a local listener for programs that know nothing of the cluster.

use std::sync::Arc;

use app_access::{Cached, Door, Issue, Issued, Keyring, Listener, Local};
use async_trait::async_trait;
use cli::{Advice as _, Output};
use clock::Clock;
use crypto::Random;
use domain::{Error, error::Kind};
use service::Signals;
use telemetry::log;

use crate::{args::Globals, session::Session};

/// To what.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  tsh --proxy=example.com:3080 -i alice.pem proxy app grafana --port=1234")]
pub(crate) enum Command {
    /// Carry what comes to a local port to an application.
    App(App),
    #[command(flatten)]
    Later(Later),
}

/// What cannot be done yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Later {
    /// `tsh proxy db` (not supported yet).
    #[command(hide = true)]
    Db(cli::later::Rest),
    /// `tsh proxy ssh` (not supported yet).
    #[command(hide = true)]
    Ssh(cli::later::Rest),
    /// `tsh proxy kube` (not supported yet).
    #[command(hide = true)]
    Kube(cli::later::Rest),
    /// `tsh proxy aws` (not supported yet).
    #[command(hide = true)]
    Aws(cli::later::Rest),
    /// `tsh proxy azure` (not supported yet).
    #[command(hide = true)]
    Azure(cli::later::Rest),
    /// `tsh proxy gcloud` (not supported yet).
    #[command(hide = true)]
    Gcloud(cli::later::Rest),
    /// `tsh proxy mcp` (not supported yet).
    #[command(hide = true)]
    Mcp(cli::later::Rest),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tsh --proxy=example.com:3080 -i alice.pem proxy app grafana --port=1234\n\
                        Whoever reaches the port acts as you.")]
pub(crate) struct App {
    /// Name of the application.
    name: String,
    /// Local port, or `LOCAL:TARGET` for an application with several ports; 0 takes a free one.
    #[arg(short, long, default_value = "0", value_name = "PORT", value_parser = cli::ports)]
    port: (u16, u16),
    /// Leaf cluster.
    #[arg(short, long, value_name = "CLUSTER", env = "TELEPORT_CLUSTER", hide = true)]
    cluster: Option<String>,
    /// Log what happens: `stderr`, `stdout`, or a file.
    #[arg(long, value_name = "FILE")]
    proxy_log_output: Option<log::Output>,
}

impl Command {
    /// Where the log goes, when it is said.
    pub(crate) fn log_output(&self) -> Option<log::Output> {
        match self {
            Self::App(app) => app.proxy_log_output.clone(),
            Self::Later(_) => None,
        }
    }
}

/// Certificates in exchange for the identity file, which is read again for each: what made it may have renewed it.
struct Reissue {
    globals: Globals,
    target_port: u16,
}

#[async_trait]
impl Issue for Reissue {
    async fn issue(&self, app: &str) -> Result<Issued, Error> {
        let session = Session::open(&self.globals).await.map_err(|error| {
            let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
            Error::new(known.map_or(Kind::Invalid, |known| known.kind), format!("{error:#}"))
        })?;
        session.exchange(self.target_port).issue(app).await
    }
}

pub(crate) async fn run(command: Command, globals: &Globals) -> anyhow::Result<()> {
    let app = match command {
        Command::App(app) => app,
        Command::Later(_) => {
            return Err(Error::unsupported("tsh proxy leads to applications only yet: tsh proxy app").into());
        }
    };
    let (local, target_port) = app.port;
    // Told as the tool's own failures are; a certificate makes its own connection.
    Session::open(globals).await?.refuse_leaf(app.cluster.as_deref())?;
    let clock = Clock::system();
    let ring = Cached::new(Reissue { globals: globals.clone(), target_port }, clock.clone());
    // A wrong name or a missing role is told now, not to the first program that connects.
    ring.access(&app.name).await?;
    let listener = Listener::bind(&format!("tcp://127.0.0.1:{local}"))
        .await
        .advise(|| "give --port another one, or 0 for one that is free")?;
    let signals = Signals::install()?;
    let place = listener.to_string().replace("tcp://", "");
    Output::stdout().line(format_args!("Proxying connections to {} on {place}", app.name))?;
    let (door, keyring, random) = (Door::Tunnel(app.name), Arc::new(ring), Random::system());
    app_access::serve_until_told(Local { listener, door, keyring, clock, random }, signals).await;
    Ok(())
}
