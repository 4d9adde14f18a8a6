//! A whole cluster in the test's own process, on loopback, in a directory that goes with it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use client::{Client, Credentials};
use clock::Clock;
use crypto::Random;
use daemon::{AroundStore, Environment, Server, config::Config};
use tempfile::TempDir;

/// How long a test's cluster may take to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How a test's cluster differs from the plain one.
#[derive(Clone)]
pub struct Options {
    /// The cluster's name.
    pub name: String,
    /// The time that the server lives by.
    pub clock: Clock,
    /// Keep everything in memory: nothing survives [`Cluster::restart`].
    pub in_memory: bool,
    /// Lines for the `teleport` section, indented by two spaces.
    pub teleport: String,
    /// Lines for the `auth_service` section, indented by two spaces.
    pub auth_service: String,
    /// Where the cluster's directory is made; short, because it holds a Unix socket.
    pub parent: PathBuf,
    /// What lies between the server and its store.
    pub around_store: Option<AroundStore>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "test.example".into(),
            clock: Clock::system(),
            in_memory: false,
            teleport: String::new(),
            auth_service: String::new(),
            parent: "/tmp".into(),
            around_store: None,
        }
    }
}

/// A cluster that runs.
pub struct Cluster {
    directory: TempDir,
    options: Options,
    server: Server,
}

impl Cluster {
    /// Starts a cluster with SQLite in a new directory.
    ///
    /// # Panics
    /// When it does not start: the test cannot go on.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a cluster.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(options: Options) -> Self {
        // In /tmp, whatever TMPDIR says: the path of a Unix socket is short.
        let directory = tempfile::Builder::new().prefix("tessera-test-").tempdir_in(&options.parent);
        Self::over(directory.expect("a directory for the cluster"), options).await
    }

    /// Starts a cluster over a directory in which there may have been one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn over(directory: TempDir, options: Options) -> Self {
        let server = run(directory.path(), &options).await;
        Self { directory, options, server }
    }

    /// Stops the server and starts it again over the same directory, on another port.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same, with something done to the data directory while the server is stopped.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart_with(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { directory, options, server } = self;
        server.stop(GRACE).await;
        meanwhile(&data_dir(directory.path()));
        let server = run(directory.path(), &options).await;
        Self { directory, options, server }
    }

    /// Stops the server.
    pub async fn stop(self) {
        self.server.stop(GRACE).await;
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.server.auth_addr()
    }

    /// The server's data directory.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.directory.path())
    }

    /// A client that shows `credentials`.
    ///
    /// # Panics
    /// When the server does not let it in.
    pub async fn client(&self, credentials: Credentials) -> Client {
        let (clock, random) = (self.options.clock.clone(), Random::system());
        let config = client::Config::new([self.address().to_string()], credentials, clock, random);
        Client::connect(config).await.expect("the server lets these credentials in")
    }

    /// A client with the rights of the local administrator.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn admin(&self) -> Client {
        let socket = format!("unix://{}", self.server.admin_socket().display());
        let config = client::Config::new([socket], Credentials::none(), self.options.clock.clone(), Random::system());
        Client::connect(config).await.expect("the administrator's socket answers")
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// The configuration of a cluster in a directory.
///
/// # Panics
/// When the options make none.
pub fn config(directory: &Path, options: &Options) -> Config {
    let text = format!(
        "version: v3
teleport:
  nodename: test
  data_dir: {data_dir}
  storage: {{type: {storage}}}
{teleport}auth_service:
  enabled: yes
  cluster_name: {name}
  listen_addr: 127.0.0.1:0
{more}",
        data_dir = data_dir(directory).display(),
        storage = if options.in_memory { "memory" } else { "sqlite" },
        name = options.name,
        teleport = options.teleport,
        more = options.auth_service,
    );
    Config::from_text(&text, "the test's configuration").expect("a valid configuration")
}

async fn run(directory: &Path, options: &Options) -> Server {
    let environment = Environment {
        clock: options.clock.clone(),
        around_store: options.around_store.clone(),
        ..Environment::system()
    };
    Server::start(&config(directory, options), environment).await.expect("the server starts")
}

#[cfg(test)]
mod tests {
    use api::{r#gen::proto::PingRequest, methods::proto::auth_service::Ping};

    use super::*;

    #[tokio::test]
    async fn a_cluster_starts_answers_and_survives_a_restart() {
        let cluster = Cluster::start().await;
        let ping = cluster.admin().await.call::<Ping>(PingRequest::default()).await.unwrap();
        assert_eq!(ping.cluster_name, "test.example");
        let pins = |cluster: &Cluster| cluster.server().auth().host_certificates().unwrap()[0].pin();
        let before = pins(&cluster);
        let cluster = cluster.restart().await;
        assert_eq!(pins(&cluster), before);
        cluster.stop().await;
    }
}
