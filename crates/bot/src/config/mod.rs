//! The configuration of a bot: read from a file, overridden by flags and environment, checked, written back.

mod address;
mod destination;
mod error;
mod fields;
mod join_uri;
mod migrate;
mod node;
mod onboarding;
mod overrides;
mod schema;
mod service;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crypto::SecretString;
use domain::{form::duration, resources::token::JoinMethod};
use serde_json::{Map, Value as Json};

pub use self::{
    destination::{Acls, Destination, Directory, KubernetesSecret, Reader, Symlinks},
    error::ConfigError,
    migrate::migrate,
    onboarding::{JOIN_METHODS, Onboarding},
    overrides::Overrides,
    schema::Kind,
    service::Service,
};
use self::{
    fields::{Fields, Source},
    node::{Node, Position},
};

/// Lifetime of certificates unless said otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// Time between two renewals unless said otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1200);
/// The longest lifetime that is asked for.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// Where state is kept unless said otherwise.
pub const DEFAULT_STORAGE: &str = "/var/lib/teleport/bot";

/// Everything a bot is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Log verbosely.
    pub debug: bool,
    /// `host:port` of the auth service.
    pub auth_server: Option<String>,
    /// `host:port` of a proxy.
    pub proxy_server: Option<String>,
    /// Lifetime of certificates, if said.
    pub credential_ttl: Option<Duration>,
    /// Time between renewals, if said.
    pub renewal_interval: Option<Duration>,
    /// Write the outputs once and end.
    pub oneshot: bool,
    /// How to join.
    pub onboarding: Onboarding,
    /// Where the bot keeps its own state.
    pub storage: Destination,
    /// Outputs and services.
    pub services: Vec<Service>,
    /// `host:port` of the diagnostics endpoint.
    pub diag_addr: Option<String>,
    /// FIPS mode.
    pub fips: bool,
    /// Believe any server on the first connection.
    pub insecure: bool,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// The join URI as it was given; it has the token in it.
    pub join_uri: Option<SecretString>,
    /// A scoped bot.
    pub scoped: bool,
}

/// What is said of a configuration without a server.
pub const NO_SERVER: &str = "neither auth_server nor proxy_server is configured: give --auth-server or --proxy-server, or set one in \
                             the file (-c FILE)";

const BOTH_SERVERS: &str = "auth_server and proxy_server exclude each other; keep one";

/// The address of a server.
fn server(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<String>, ConfigError> {
    let text = fields.text(key)?.filter(|text| !text.is_empty());
    match text.as_deref().map(address::check_server) {
        Some(Err(message)) => Err(fields.refuse(key, message)),
        _ => Ok(text),
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            debug: false,
            auth_server: None,
            proxy_server: None,
            credential_ttl: None,
            renewal_interval: None,
            oneshot: false,
            onboarding: Onboarding::default(),
            storage: Destination::directory(DEFAULT_STORAGE),
            services: Vec::new(),
            diag_addr: None,
            fips: false,
            insecure: false,
            pid_file: None,
            join_uri: None,
            scoped: false,
        }
    }
}

impl Config {
    /// Reads a file (or starts from nothing), puts the flags over it and checks the result.
    ///
    /// # Errors
    /// With file, line and what to write instead.
    pub fn load(path: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut config = match path {
            None => Self::default(),
            Some(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path)
                    .map_err(|error| ConfigError::whole(&name, format!("cannot read the configuration: {error}")))?;
                Self::parse(&text, &name)?
            }
        };
        let name = path.map_or_else(|| "command line".to_owned(), |path| path.display().to_string());
        let refuse = |message: String| ConfigError::whole(&name, message);
        let mut overrides = overrides;
        let secret = overrides.registration_fallback.take();
        overrides.apply(&mut config).map_err(refuse)?;
        join_uri::apply(&mut config).map_err(refuse)?;
        config.onboarding.fall_back_to(secret);
        config.check().map_err(refuse)?;
        Ok(config)
    }

    /// Reads the text of a v2 file. `source` is how messages call it.
    ///
    /// # Errors
    /// With file, line and what to write instead.
    pub fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let node = node::parse(text, source)?;
        let source = Source { name: source, text };
        let mut fields = Fields::open(source, &node, "")?;
        match fields.text("version")?.as_deref() {
            Some("v2") => {}
            Some("v1") => return Err(fields.refuse("version", "v1 is not read any more; convert it with tbot migrate")),
            Some(other) => return Err(fields.refuse("version", format!("{other:?} is unknown; write version: v2"))),
            None => {
                let message = "is required: write version: v2 (a file of v1 is converted by tbot migrate)";
                return Err(fields.refuse("version", message));
            }
        }
        let mut config = Self {
            debug: fields.flag("debug")?.unwrap_or_default(),
            auth_server: server(&mut fields, "auth_server")?,
            proxy_server: server(&mut fields, "proxy_server")?,
            credential_ttl: service::either_ttl(&mut fields)?,
            renewal_interval: fields.duration("renewal_interval")?,
            oneshot: fields.flag("oneshot")?.unwrap_or_default(),
            diag_addr: fields.text("diag_addr")?.filter(|text| !text.is_empty()),
            fips: fields.flag("fips")?.unwrap_or_default(),
            insecure: fields.flag("insecure")?.unwrap_or_default(),
            pid_file: fields.text("pid_file")?.map(PathBuf::from),
            join_uri: fields.text("join_uri")?.filter(|text| !text.is_empty()).map(SecretString::new),
            scoped: fields.flag("scoped")?.unwrap_or_default(),
            ..Self::default()
        };
        if config.auth_server.is_some() && config.proxy_server.is_some() {
            return Err(fields.refuse("proxy_server", BOTH_SERVERS));
        }
        if let Some(onboarding) = fields.map("onboarding")? {
            config.onboarding = Onboarding::read(onboarding)?;
        }
        if let Some(storage) = fields.node("storage") {
            config.storage = Destination::read(source, storage, "storage")?;
        }
        let mut places: Vec<Position> = Vec::new();
        for key in ["services", "outputs"] {
            let items: &[Node] = fields.items(key)?;
            for (index, item) in items.iter().enumerate() {
                config.services.push(Service::read(source, item, &format!("{key}[{index}]"))?);
                places.push(item.at);
            }
        }
        // Flags may choose another storage than the usual one.
        let storage = fields.node("storage").map(|_| &config.storage);
        if let Some((index, message)) = config.clash(storage) {
            return Err(source.error(places[index], message));
        }
        fields.finish()?;
        Ok(config)
    }

    /// Where the auth service is dialled: itself, or the proxy that carries our bytes to it unread.
    pub fn server(&self) -> Option<String> {
        self.auth_server.clone().or_else(|| self.proxy_server.as_deref().map(client::Web::address_of))
    }

    /// The lifetime in force, at most a day.
    pub fn ttl(&self) -> Duration {
        self.credential_ttl.unwrap_or(DEFAULT_TTL).min(MAX_TTL)
    }

    /// The interval in force.
    pub fn interval(&self) -> Duration {
        self.renewal_interval.unwrap_or_else(|| DEFAULT_INTERVAL.min(self.ttl() / 2))
    }

    /// The lifetime of one service's certificates.
    pub fn ttl_of(&self, service: &Service) -> Duration {
        service.credential_ttl.map_or_else(|| self.ttl(), |ttl| ttl.min(MAX_TTL))
    }

    /// The interval of one service.
    pub fn interval_of(&self, service: &Service) -> Duration {
        match (service.renewal_interval, service.credential_ttl) {
            (Some(interval), _) => interval,
            (None, Some(ttl)) => self.interval().min(ttl / 2),
            (None, None) => self.interval(),
        }
    }

    /// The names of the services, given or automatic, in order.
    pub fn names(&self) -> Vec<String> {
        let mut counted = [0; 2];
        let automatic = |service: &Service| {
            let kind = service.kind.name.replace('/', "-");
            let group = if service.kind.is_output { "output" } else { "service" };
            let count = &mut counted[usize::from(service.kind.is_output)];
            *count += 1;
            service.name.clone().unwrap_or_else(|| format!("{kind}-{group}-{count}"))
        };
        self.services.iter().map(automatic).collect()
    }

    /// What holds whatever this build can do.
    fn check(&self) -> Result<(), String> {
        if self.auth_server.is_some() && self.proxy_server.is_some() {
            return Err(BOTH_SERVERS.into());
        }
        for (key, server) in [("auth_server", &self.auth_server), ("proxy_server", &self.proxy_server)] {
            server.as_deref().map_or(Ok(()), address::check_server).map_err(|message| format!("{key}: {message}"))?;
        }
        for (name, service) in self.names().iter().zip(&self.services) {
            if let Some(uri) = service.spec.get("listen").and_then(Json::as_str) {
                address::check_listener(uri).map_err(|message| format!("{name}: listen: {message}"))?;
            }
        }
        if matches!(self.storage, Destination::KubernetesSecret(_)) && self.services.is_empty() {
            return Err("storage: a kubernetes_secret needs an output".into());
        }
        self.check_spans()?;
        self.clash(Some(&self.storage)).map_or(Ok(()), |(_, message)| Err(message))
    }

    /// The first service that is in the way of something before it, and why.
    fn clash(&self, storage: Option<&Destination>) -> Option<(usize, String)> {
        let names = self.names();
        let mut places: Vec<(&str, String)> = Vec::new();
        let words = |place: &Destination| (*place != Destination::Memory).then(|| place.describe());
        places.extend(storage.and_then(words).map(|words| ("storage", words)));
        let mut doors: Vec<(&str, &str)> = Vec::new();
        for (index, (name, service)) in names.iter().zip(&self.services).enumerate() {
            if ["heartbeat", "ca-rotation", "identity"].contains(&name.as_str()) {
                return Some((index, format!("the name {name:?} is taken by tbot itself")));
            }
            if names[..index].contains(name) {
                return Some((index, format!("two services are called {name:?}")));
            }
            if let Some(words) = service.destination.as_ref().and_then(words) {
                if let Some((other, _)) = places.iter().find(|(_, taken)| *taken == words) {
                    let message = format!("{name} and {other} share a destination ({words}); give each its own");
                    return Some((index, message));
                }
                places.push((name, words));
            }
            let door = service.text("listen");
            if let Some((other, _)) = doors.iter().find(|(_, taken)| *taken == door && !door.ends_with(":0")) {
                return Some((index, format!("{name} and {other} both listen at {door}; give each its own port")));
            }
            doors.extend(Some((name.as_str(), door)).filter(|(_, door)| !door.is_empty()));
        }
        None
    }

    fn check_spans(&self) -> Result<(), String> {
        if self.oneshot {
            return Ok(());
        }
        let pairs = self.services.iter().zip(self.names());
        let pairs = pairs.map(|(service, name)| (name, self.interval_of(service), self.ttl_of(service)));
        for (name, interval, ttl) in std::iter::once(("tbot".to_owned(), self.interval(), self.ttl())).chain(pairs) {
            if interval >= ttl {
                return Err(format!(
                    "{name}: renewal_interval ({}) must be below credential_ttl ({})",
                    duration::format(interval),
                    duration::format(ttl)
                ));
            }
        }
        Ok(())
    }

    /// What this build cannot do yet, by name.
    ///
    /// # Errors
    /// The first thing that is asked for and not built.
    pub fn check_supported(&self) -> Result<(), String> {
        let later = |what: String| Err(format!("{what} is not supported yet"));
        if self.server().is_none() {
            return Err(NO_SERVER.into());
        }
        let method = JoinMethod::parse(self.onboarding.method()).unwrap_or_default();
        if !join::BUILT.contains(&method) {
            return later(format!("join method {:?}", self.onboarding.method()));
        }
        if self.fips {
            return later("FIPS mode".into());
        }
        if self.scoped {
            return later("a scoped bot".into());
        }
        for (name, service) in self.names().iter().zip(&self.services) {
            if !service.kind.is_built {
                return later(format!("{name}: type {:?}", service.kind.name));
            }
        }
        let destinations = self.services.iter().filter_map(|service| service.destination.as_ref());
        for destination in destinations.chain([&self.storage]) {
            if let Destination::KubernetesSecret(secret) = destination {
                return later(format!("destination kubernetes_secret ({})", secret.name));
            }
        }
        Ok(())
    }

    /// The configuration as a v2 file.
    pub fn to_yaml(&self) -> String {
        let mut map = Map::new();
        let mut set = |key: &str, value: Option<Json>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        let flag = |on: bool| on.then_some(Json::Bool(true));
        let span = |span: Option<Duration>| span.map(|span| Json::from(duration::format(span)));
        set("version", Some("v2".into()));
        set("auth_server", self.auth_server.clone().map(Json::from));
        set("proxy_server", self.proxy_server.clone().map(Json::from));
        set("onboarding", Some(self.onboarding.render()));
        set("storage", Some(self.storage.render()));
        let services: Vec<_> = self.services.iter().map(Service::render).collect();
        set("services", (!services.is_empty()).then_some(services.into()));
        set("credential_ttl", span(self.credential_ttl));
        set("renewal_interval", span(self.renewal_interval));
        set("oneshot", flag(self.oneshot));
        set("debug", flag(self.debug));
        set("diag_addr", self.diag_addr.clone().map(Json::from));
        set("fips", flag(self.fips));
        set("insecure", flag(self.insecure));
        set("pid_file", self.pid_file.as_ref().map(|path| path.display().to_string().into()));
        set("scoped", flag(self.scoped));
        serde_saphyr::to_string(&Json::Object(map)).unwrap_or_default()
    }
}
