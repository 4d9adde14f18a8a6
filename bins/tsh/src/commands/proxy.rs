//! `tsh proxy`: a local listener for programs that know nothing of the cluster.

use std::sync::Arc;

use app_access::{Cached, Door, Keyring, Listener};
use cli::Output;
use clock::Clock;
use domain::Error;
use service::Signals;

use crate::{args::Globals, session::Session};

/// To what.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example:\n  tsh --proxy=example.com:3080 -i alice.pem proxy app grafana --port=1234")]
pub(crate) enum Command {
    /// To an application.
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
    #[arg(short, long, default_value = "0", value_name = "PORT")]
    port: String,
    /// Leaf cluster.
    #[arg(short, long, value_name = "CLUSTER", env = "TELEPORT_CLUSTER", hide = true)]
    cluster: Option<String>,
}

pub(crate) async fn run(command: Command, globals: &Globals) -> anyhow::Result<()> {
    let app = match command {
        Command::App(app) => app,
        Command::Later(_) => {
            return Err(Error::unsupported("tsh proxy leads to applications only yet: tsh proxy app").into());
        }
    };
    let (local, target) = ports(&app.port)?;
    let session = Session::open(globals).await?;
    session.refuse_leaf(app.cluster.as_deref())?;
    let clock = Clock::system();
    let ring = Cached::new(session.exchange(target), clock.clone());
    // A wrong name or a missing role is told now, not to the first program that connects.
    ring.access(&app.name).await?;
    let listener = Listener::bind(&format!("tcp://127.0.0.1:{local}")).await?;
    let signals = Signals::install()?;
    let place = listener.to_string().replace("tcp://", "");
    Output::stdout().line(format_args!("Proxying connections to {} on {place}", app.name))?;
    app_access::serve_until_told(listener, Door::Tunnel(app.name), Arc::new(ring), clock, signals).await;
    Ok(())
}

/// `LOCAL` or `LOCAL:TARGET`.
fn ports(text: &str) -> anyhow::Result<(u16, u16)> {
    let port = |text: &str| {
        text.parse::<u16>().map_err(|_| Error::invalid(format!("--port: {text:?} is no port; write 1234 or 1234:5432")))
    };
    match text.split_once(':') {
        Some((local, target)) => Ok((port(local)?, port(target)?)),
        None => Ok((port(text)?, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        assert_eq!(ports("1234").unwrap(), (1234, 0));
        assert_eq!(ports("1234:5432").unwrap(), (1234, 5432));
        assert!(ports("a").is_err() && ports("1:b").is_err() && ports("70000").is_err());
    }
}
