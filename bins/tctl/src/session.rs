//! Who we are and whom we talk to: an identity file, or the administrator's socket of the server on this host.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cli::{Advice, Output};
use client::{Client, Config, Credentials, Trust};
use clock::Clock;
use crypto::Random;

use crate::args::Globals;

/// How the configuration is called when there is no file.
const EMBEDDED: &str = "the embedded default";

/// Where the auth service is looked for when nobody says.
const DEFAULT_AUTH_SERVER: &str = "127.0.0.1:3025";

/// One run of the tool: flags, time, randomness, output, and the connection once somebody needs it.
pub(crate) struct Session {
    pub(crate) globals: Globals,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) out: Output,
    client: Option<Client>,
}

impl Session {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, clock: Clock::system(), random: Random::system(), out: Output::stdout(), client: None }
    }

    /// The connection; made by the first who asks.
    pub(crate) async fn client(&mut self) -> anyhow::Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = match self.globals.identity.clone() {
            Some(identity) => self.remote(&identity).await?,
            None => self.local().await?,
        };
        self.client = Some(client.clone());
        Ok(client)
    }

    async fn remote(&self, identity: &Path) -> anyhow::Result<Client> {
        let credentials = Credentials::from_identity_file(identity)
            .with_context(|| format!("identity file {} cannot be used", identity.display()))
            .advise(|| "make one on the auth host: tctl auth sign --user=NAME --out=FILE")?;
        let addresses = match self.globals.auth_server.as_slice() {
            [] => vec![DEFAULT_AUTH_SERVER.to_owned()],
            addresses => addresses.iter().map(|address| with_port(address)).collect(),
        };
        let mut config = Config::new(addresses, credentials, self.clock.clone(), self.random.clone());
        if self.globals.insecure {
            config = config.with_trust(Trust::DangerAnything);
        }
        Client::connect(config).await.advise(|| "check --auth-server, and that the server runs")
    }

    /// The server on this host, over the socket that only its own user reaches.
    async fn local(&self) -> anyhow::Result<Client> {
        if !self.globals.auth_server.is_empty() {
            bail!(cli::exit::Usage("--auth-server needs an identity file: add -i FILE".into()));
        }
        let (socket, file) = self.admin_socket()?;
        let config = Config::new(
            [format!("unix://{}", socket.display())],
            Credentials::none(),
            self.clock.clone(),
            self.random.clone(),
        );
        Client::connect(config).await.map_err(anyhow::Error::from).map_err(|error| explain(error, &socket, &file))
    }

    /// The administrator's socket, and the file that told us where it is.
    pub(crate) fn admin_socket(&self) -> anyhow::Result<(PathBuf, String)> {
        let found = daemon::config::find(self.globals.config.as_deref())
            .map_err(cli::exit::invalid_input)
            .advise(|| "name the server's file with -c FILE, or use an identity file with -i FILE")?;
        let name = found.path.map_or_else(|| EMBEDDED.to_owned(), |path| path.display().to_string());
        Ok((daemon::admin_socket(&found.config.teleport.data_dir), name))
    }
}

/// Why the local socket does not answer, and what to do about it.
fn explain(error: anyhow::Error, socket: &Path, file: &str) -> anyhow::Error {
    let directory = socket.parent().unwrap_or(socket);
    let start = if file == EMBEDDED { "tessera start".to_owned() } else { format!("tessera start -c {file}") };
    // Of the socket itself: a directory of mode 0700 can be looked at, but not into, by others.
    let advice = match std::fs::metadata(socket) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => format!(
            "run tctl as root or as the user that owns {}, or use -i FILE with --auth-server",
            directory.display()
        ),
        Err(_) if directory.exists() => {
            format!("the server does not run: start it with {start}, name its file with -c, or use -i FILE")
        }
        Err(_) => format!("start the server ({start}), name its file with -c, or use -i FILE"),
        Ok(_) => {
            format!("run as the user that owns {}, and see that the server runs ({start})", directory.display())
        }
    };
    let message = format!("no local server answers at {} (data_dir of {file})", socket.display());
    let failed: anyhow::Result<()> = Err(error.context(message)).advise(|| advice);
    failed.expect_err("an error was just put in")
}

fn with_port(address: &str) -> String {
    daemon::config::Address::parse(address, 3025).map_or_else(|_| address.to_owned(), |address| address.to_string())
}
