//! Builds a server from its configuration, and holds it while it runs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use auth::Auth;
use clock::Clock;
use crypto::Random;
use service::{Handover, Outcome, PidFile, Readiness, Supervisor};
use storage::Backend;
use telemetry::log::Handle;

use crate::{
    config::Config,
    data_dir::{self, DataDir},
    diagnostics,
    local_socket::{self, ADMIN},
    metrics::Metrics,
    services::{AppService, AuthService, ProxyService, Shared},
};

/// Puts something between the server and its store.
pub type AroundStore = Arc<dyn Fn(Arc<dyn Backend>) -> Arc<dyn Backend> + Send + Sync>;

/// What a server is built with besides its configuration.
#[derive(Clone)]
pub struct Environment {
    /// The only source of time.
    pub clock: Clock,
    /// The only source of randomness.
    pub random: Random,
    /// Documents that a new cluster begins with.
    pub bootstrap: Option<PathBuf>,
    /// Documents that are applied at each start.
    pub apply_on_startup: Option<PathBuf>,
    /// For tests of what a store does at its worst: dies, lags, refuses.
    pub around_store: Option<AroundStore>,
    /// The ports of the program image before this one, and where ours are kept for the next; nothing when the process
    /// never replaces itself.
    pub handover: Option<Handover>,
    /// The process's log, which the debug socket changes; nothing when the log is not the server's.
    pub log: Option<Handle>,
}

impl Environment {
    /// The machine's own clock and randomness, no documents.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            random: Random::system(),
            bootstrap: None,
            apply_on_startup: None,
            around_store: None,
            handover: None,
            log: None,
        }
    }
}

/// A server that runs: the services that its configuration asks for.
pub struct Server {
    auth: Option<AuthService>,
    proxy: Option<ProxyService>,
    diag_addr: Option<SocketAddr>,
    readiness: Readiness,
    /// What serves; ends before the services do.
    supervisor: Supervisor,
    data_dir: DataDir,
    /// Goes with the server.
    _pid_file: Option<PidFile>,
    handover: Option<Handover>,
}

impl Server {
    /// Opens the data directory and everything in it, starts serving, and returns once the first request can be
    /// answered.
    ///
    /// # Errors
    /// When any part cannot be opened; each error says which and what to do.
    pub async fn start(config: &Config, environment: Environment) -> anyhow::Result<Self> {
        // Boxed: it holds every part of the server at once, and whoever awaits it would carry that around.
        Box::pin(Self::build(config, environment)).await
    }

    async fn build(config: &Config, environment: Environment) -> anyhow::Result<Self> {
        config.check()?;
        let data_dir = DataDir::open(&config.teleport.data_dir, &environment.random).map_err(|error| match error {
            data_dir::Error::Busy { .. } => domain::Error::conflict(error.to_string()).into(),
            other => anyhow::Error::new(other),
        })?;
        // Not before the lock is ours: the file may be that of a server which holds it.
        let pid_file = config.teleport.pid_file.as_ref().map(PidFile::write).transpose()?;
        let supervisor = Supervisor::new(environment.clock.clone());
        let (readiness, metrics) = (Readiness::new(), Metrics::default());
        let shared = Shared {
            config,
            environment: &environment,
            data_dir: &data_dir,
            metrics: &metrics,
            readiness: &readiness,
            supervisor: &supervisor,
        };
        // Before anybody can ask: nothing registered would mean ready.
        for name in config.services() {
            readiness.register(name);
        }
        let diag_addr = diagnostics::start(&shared).await?;
        let is_on = |name| config.services().any(|enabled| enabled == name);
        let auth = if is_on("auth") { Some(AuthService::start(&shared).await?) } else { None };
        let proxy = if is_on("proxy") { Some(ProxyService::start(&shared, auth.as_ref()).await?) } else { None };
        if is_on("app") {
            AppService::start(&shared, auth.as_ref(), proxy.as_ref())?;
        }
        let handover = environment.handover;
        Ok(Self { auth, proxy, diag_addr, readiness, supervisor, data_dir, _pid_file: pid_file, handover })
    }

    /// Where the API listens, with the port that the system chose.
    ///
    /// # Panics
    /// When this server has no auth service.
    pub fn auth_addr(&self) -> SocketAddr {
        self.running().address()
    }

    /// Where the public port of the proxy is, when there is one here.
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().map(ProxyService::address)
    }

    /// The cluster's name, when its auth service is here.
    pub fn cluster(&self) -> Option<&str> {
        self.auth.as_ref().map(|auth| auth.auth().cluster())
    }

    /// What runs here and where, in a few words for the service manager.
    pub fn describe(&self) -> String {
        let auth = self.auth.as_ref().map(|auth| format!("{} at {}", auth.auth().cluster(), auth.address()));
        let proxy = self.proxy_addr().map(|address| format!("proxy at {address}"));
        let words: Vec<String> = auth.into_iter().chain(proxy).collect();
        if words.is_empty() { "applications".to_owned() } else { words.join(", ") }
    }

    fn running(&self) -> &AuthService {
        self.auth.as_ref().expect("whoever asks for the auth service has configured one")
    }

    /// Where the diagnostics endpoint listens.
    pub fn diag_addr(&self) -> Option<SocketAddr> {
        self.diag_addr
    }

    /// The socket of the local administrator.
    pub fn admin_socket(&self) -> PathBuf {
        local_socket::path(self.data_dir.path(), ADMIN)
    }

    /// The authority, for tests that look behind the API.
    ///
    /// # Panics
    /// When this server has no auth service.
    pub fn auth(&self) -> &Arc<Auth> {
        self.running().auth()
    }

    /// Who is ready.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What is asked to stop: softly (finish what is there) or hard.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Waits until the server is asked to stop or cannot go on; lets calls finish for `grace`, then lays the last
    /// links of the audit chain.
    pub async fn run(self, grace: Duration) -> Outcome {
        let outcome = self.supervisor.run(grace).await;
        if let Some(auth) = self.auth {
            auth.end().await;
        }
        // The sockets go with the server, unless the next image has them: a left-over one would only confuse.
        local_socket::remove(self.data_dir.path(), self.handover.as_ref());
        outcome
    }

    /// Stops softly and waits for the end.
    pub async fn stop(self, grace: Duration) -> Outcome {
        self.supervisor.stop().soft();
        self.run(grace).await
    }
}

#[cfg(test)]
mod tests;
