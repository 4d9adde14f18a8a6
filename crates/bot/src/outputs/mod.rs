//! What a bot writes for other programs: one file a type.

mod application;
mod identity;

use std::{sync::Arc, time::Duration};

use crate::{
    BotError,
    config::{Config, Service},
    destination::{DestinationError, Sink},
    impersonation::Impersonation,
    run::Hub,
};

/// An output, ready to be written.
pub(crate) struct Output {
    /// The type.
    pub(crate) kind: &'static str,
    /// How it is called.
    pub(crate) name: String,
    interval: Duration,
    grant: Impersonation,
    /// The application that the certificates lead to, when they lead to one.
    app: String,
    /// Certificate, key and authorities are written under the names that web servers are used to, too.
    specific_names: bool,
    sink: Arc<Sink>,
}

impl Output {
    /// Opens the destination of an entry.
    pub(crate) fn open(config: &Config, service: &Service, name: String) -> Result<Self, BotError> {
        let destination = service.destination.as_ref();
        let destination = destination.ok_or_else(|| BotError::Unsupported(format!("{name} has no destination")))?;
        if service.kind.name == "identity" && service.text("ssh_config") != "off" {
            tracing::info!(
                output = name,
                "ssh_config and known_hosts are skipped: they need a proxy, and there is none"
            );
        }
        if !service.roles.is_empty() {
            tracing::warn!(output = name, "roles of a single output are deprecated; use one bot for each set of roles");
        }
        Ok(Self {
            kind: service.kind.name,
            interval: config.interval_of(service),
            grant: Impersonation::of(config, service, &name),
            app: service.text("app_name").to_owned(),
            specific_names: has_specific_names(service),
            sink: Arc::new(Sink::open(destination)?),
            name,
        })
    }

    /// Between two writes: a little more than the interval, so that the bot's own identity, which no certificate
    /// outlives, goes first; never so much that the old certificate ends before.
    pub(crate) fn pause(&self) -> Duration {
        let late = self.interval / 20;
        self.interval + late.min(self.grant.ttl.saturating_sub(self.interval) / 2)
    }

    /// Gets new certificates and writes the artifacts.
    pub(crate) async fn write(&self, hub: &Hub) -> Result<(), BotError> {
        match self.kind {
            "application" => Box::pin(application::write(self, hub)).await,
            _ => identity::write(self, hub).await,
        }
    }

    fn put(&self, name: &str, content: &str) -> Result<(), DestinationError> {
        self.sink.write(name, content.as_bytes())
    }
}

/// The key of the file and its older spelling.
fn has_specific_names(service: &Service) -> bool {
    service.flag("specific_tls_naming") || service.flag("specific_tls_extensions")
}

/// The names of the files that an entry writes, for `tbot init`.
pub fn artifacts(service: &Service) -> Vec<&'static str> {
    match service.kind.name {
        "identity" => identity::ARTIFACTS.to_vec(),
        "application" if has_specific_names(service) => [application::ARTIFACTS, application::SPECIFIC].concat(),
        "application" => application::ARTIFACTS.to_vec(),
        _ => Vec::new(),
    }
}
