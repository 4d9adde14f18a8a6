//! Who we are and whom we talk to: an identity file, or the administrator's socket of the server on this host.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use cli::{Advice, Output, error::Advised};
use client::{Client, Config, Credentials, Proxies, Trust};
use clock::Clock;
use crypto::Random;
use domain::{
    Error,
    error::{Kind, Reason},
};

use crate::{args::Globals, cluster};

/// How the configuration is called when there is no file.
const EMBEDDED: &str = "the embedded default";

/// Where the auth service is looked for when nobody says.
const DEFAULT_AUTH_SERVER: &str = "127.0.0.1:3025";

/// The next step of somebody whose identity has ended.
const RENEW: &str = "make a new one on the auth host: tctl auth sign --user=NAME --out=FILE --overwrite";

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
        let file = identity.display();
        let credentials = Credentials::from_identity_file(identity)
            .with_context(|| format!("identity file {file} cannot be used"))
            .map_err(cli::exit::invalid_input)
            .advise(|| "make one on the auth host: tctl auth sign --user=NAME --out=FILE")?;
        let now = self.clock.now();
        if let Some(ended) = credentials.expires().filter(|end| *end <= now) {
            let (ended, now) = (cluster::show_time(ended), cluster::show_time(now));
            let error =
                Error::denied(format!("identity file {file}: the identity has expired at {ended}, now it is {now}"));
            return Err(error.because(Reason::Expired)).advise(|| RENEW);
        }
        let addresses = match self.globals.auth_server.as_slice() {
            [] => vec![DEFAULT_AUTH_SERVER.to_owned()],
            addresses => addresses.iter().map(|address| with_port(address)).collect(),
        };
        let shown = addresses.join(",");
        let mut config =
            Config::new(addresses, credentials, self.clock.clone(), self.random.clone()).with_proxies(proxies()?);
        if self.globals.insecure {
            config = config.with_trust(Trust::DangerAnything);
        }
        Client::connect(config).await.map_err(|error| {
            let advice = advice_for(&error, &shown);
            Advised::new(error, advice).into()
        })
    }

    /// The server on this host, over the socket that only its own user reaches.
    async fn local(&self) -> anyhow::Result<Client> {
        if !self.globals.auth_server.is_empty() {
            bail!(cli::exit::Usage(
                "--auth-server (or TELEPORT_AUTH_SERVER) needs an identity file: add -i FILE, or set TELEPORT_IDENTITY_FILE"
                    .into()
            ));
        }
        let (socket, file) = self.admin_socket()?;
        let config = Config::new(
            [format!("unix://{}", socket.display())],
            Credentials::none(),
            self.clock.clone(),
            self.random.clone(),
        );
        Client::connect(config).await.map_err(|error| explain(error, &socket, &file))
    }

    /// The administrator's socket, and the file that told us where it is.
    pub(crate) fn admin_socket(&self) -> anyhow::Result<(PathBuf, String)> {
        let found = daemon::config::find(self.globals.config.as_deref())
            .map_err(cli::exit::invalid_input)
            .advise(|| "name the server's file with -c FILE, or use an identity file with -i FILE")?;
        let name = found.path.map_or_else(|| EMBEDDED.to_owned(), |path| path.display().to_string());
        if !found.config.auth_service.enabled {
            return Err(Error::unavailable(format!("{name} has no auth service on this host"))).advise(|| {
                "use an identity file with -i FILE and --auth-server=HOST:PORT, or name the auth service's own file with -c FILE"
            });
        }
        Ok((daemon::admin_socket(&found.config.teleport.data_dir), name))
    }
}

/// The way out of this network, as the official client takes it.
#[allow(clippy::disallowed_methods, reason = "a tool reads the environment of the person who runs it")]
fn proxies() -> anyhow::Result<Proxies> {
    Ok(Proxies::from_variables(|name| std::env::var(name).ok()).map_err(|error| Error::invalid(error.to_string()))?)
}

/// What to do when the server that the identity file is for does not let us in.
fn advice_for(error: &Error, address: &str) -> String {
    match error.reason {
        Some(Reason::Expired) => RENEW.to_owned(),
        Some(Reason::UntrustedServer) => format!(
            "see that --auth-server={address} is the auth service of the cluster that made the identity file, and that \
             the clock of this host is right"
        ),
        Some(Reason::UntrustedCertificate) => {
            format!("use an identity file (-i) that the cluster at --auth-server={address} has made")
        }
        _ if error.kind == Kind::Denied => {
            format!(
                "use an identity file (-i) of the cluster at --auth-server={address} that is neither expired nor locked"
            )
        }
        _ => format!("check --auth-server={address}, and that the server runs"),
    }
}

/// Why the local socket does not answer, and what to do about it.
fn explain(error: Error, socket: &Path, file: &str) -> anyhow::Error {
    let directory = socket.parent().unwrap_or(socket).display();
    let start = if file == EMBEDDED { "tessera start".to_owned() } else { format!("tessera start -c {file}") };
    // The client keeps only words of what the operating system said; asking again tells the kinds apart.
    let (kind, advice) = match UnixStream::connect(socket).map_err(|error| error.kind()) {
        Err(io::ErrorKind::PermissionDenied) => (
            Kind::Denied,
            format!("run tctl as root or as the user that owns {directory}, or use -i FILE with --auth-server"),
        ),
        Err(io::ErrorKind::NotFound) if !socket.parent().is_some_and(Path::exists) => {
            (error.kind, format!("start the server ({start}), name its file with -c, or use -i FILE"))
        }
        _ => (
            error.kind,
            format!("the server does not run: start it with {start}, name its file with -c, or use -i FILE"),
        ),
    };
    let message = match kind {
        Kind::Denied => format!("open {}: permission denied (data_dir of {file})", socket.display()),
        _ => format!("no local server answers at {} (data_dir of {file}): {error}", socket.display()),
    };
    Advised::new(Error { kind, message, reason: error.reason }, advice).into()
}

fn with_port(address: &str) -> String {
    daemon::config::Address::parse(address, 3025).map_or_else(|_| address.to_owned(), |address| address.to_string())
}
