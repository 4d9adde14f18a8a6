//! The configuration of a server: found, read, checked, and turned into types that nothing has to question again.
//!
//! The file is the documented `teleport.yaml`, version 3. Every key of it is known here: parts that are not built
//! yet may stand in a file as long as they are switched off.

mod address;
mod effective;
mod fields;
mod files;
mod nearest;
mod node;
mod ports;
mod problem;
mod schema;
mod sections;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use address::Address;
pub use files::{Found, find};
pub use nearest::nearest;
pub use problem::{Invalid, Problem};
pub use sections::{
    app_service::{AppService, Application, Selector},
    auth_service::{AuthService, SessionRecording, StaticToken},
    authentication::{Authentication, LockingMode, SecondFactor, Suite},
    debug_service::DebugService,
    log::{ExtraField, Log, LogFormat, LogOutput, LogStyle, Severity},
    proxy_service::{Acme, KeyPair, ProxyService},
    storage::{AuditSink, Storage, StorageType},
    teleport::{Common, ConnectionLimits, JoinParams},
};

use fields::Fields;
use node::Node;
pub(crate) use ports::authority;
use problem::Problems;
pub(crate) use sections::teleport::read_pins;

/// What a server needs to know before it starts; made only by [`Config::from_text`] and [`Config::embedded`].
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// The version of the file's schema.
    pub version: Version,
    /// What all services share.
    pub teleport: Common,
    /// The auth service.
    pub auth_service: AuthService,
    /// The proxy.
    pub proxy_service: ProxyService,
    /// The agent beside applications.
    pub app_service: AppService,
    /// The debug socket.
    pub debug_service: DebugService,
    /// Accepted, but worth a word at the start: one sentence each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The version of the file's schema.
///
/// It decides the default ports of the proxy and nothing of what exists today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// Separate ports for everything.
    V1,
    /// One port for everything.
    V2,
    /// As v2, with `auth_server` and `proxy_server` instead of `auth_servers`.
    #[default]
    V3,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("configuration file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML.
    #[error(transparent)]
    Yaml(Box<Invalid>),
    /// It is YAML, but not a configuration.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_text(&text, &path.display().to_string())
    }

    /// Reads and checks a document; `name` stands for its file in errors.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_text(text: &str, name: &str) -> Result<Self, Error> {
        let node = Node::parse(text).map_err(|problem| {
            Error::Yaml(Box::new(Invalid { source: name.to_owned(), text: text.to_owned(), problems: vec![problem] }))
        })?;
        let problems = Problems::of(name);
        let mut config = sections::read(&node, &problems);
        let mut found = problems.errors.into_inner();
        if found.is_empty() {
            let warning = |p: Problem| format!("{name}:{}: {} {}", p.line, p.path, p.message);
            config.warnings.extend(problems.warnings.into_inner().into_iter().map(warning));
            return Ok(config);
        }
        found.sort_by_key(|problem| (problem.line, problem.column));
        Err(Invalid { source: name.to_owned(), text: text.to_owned(), problems: found }.into())
    }

    /// What runs without any file: the auth service, with SQLite in the default data directory.
    pub fn embedded() -> Self {
        sections::read(&Node::empty(), &Problems::default())
    }

    /// The names of the services that run in this process, in the order in which they start.
    pub fn services(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("auth", self.auth_service.enabled),
            ("proxy", self.proxy_service.enabled),
            ("app", self.app_service.enabled),
        ];
        all.into_iter().filter(|(_, is_enabled)| *is_enabled).map(|(name, _)| name)
    }

    /// Whether the services that run have what they need, the flags of the command line counted.
    ///
    /// # Errors
    /// Invalid, with what is missing.
    pub fn check(&self) -> Result<(), domain::Error> {
        let Common { auth_servers, proxy_server, .. } = &self.teleport;
        if self.services().next().is_none() {
            return Err(domain::Error::invalid(
                "no service is enabled: add \"auth_service: {enabled: yes}\" to the file, or name one with --roles",
            ));
        }
        let is_joining = !self.auth_service.enabled;
        if is_joining && self.proxy_service.enabled && auth_servers.is_empty() {
            return Err(domain::Error::invalid(
                "the proxy has no auth service: name one with teleport.auth_server or --auth-server",
            ));
        }
        if is_joining && auth_servers.is_empty() && proxy_server.is_none() {
            return Err(domain::Error::invalid(
                "the agent has no cluster: name its proxy with teleport.proxy_server or --auth-server",
            ));
        }
        if self.app_service.enabled && !self.proxy_service.enabled && auth_servers.is_empty() && proxy_server.is_none()
        {
            return Err(domain::Error::invalid(
                "applications are reached through a proxy: name it with teleport.proxy_server, or run one with proxy_service",
            ));
        }
        self.refuse_clashes()
    }

    /// The name under which the cluster is made when there is none yet.
    pub fn cluster_name(&self) -> &str {
        self.auth_service.cluster_name.as_deref().unwrap_or(&self.teleport.nodename)
    }

    /// The whole configuration with all defaults, as a file that reads back to the same; secrets are masked.
    pub fn effective(&self) -> String {
        effective::render(self)
    }
}
