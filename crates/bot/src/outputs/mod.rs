//! What a bot writes for other programs: one file a type.

mod identity;

use std::{sync::Arc, time::Duration};

use crate::{
    BotError,
    config::{Config, Service},
    destination::{DestinationError, Sink},
    run::Hub,
};

/// An output, ready to be written.
pub(crate) struct Output {
    /// The type.
    pub(crate) kind: &'static str,
    /// How it is called.
    pub(crate) name: String,
    interval: Duration,
    ttl: Duration,
    roles: Vec<String>,
    allow_reissue: bool,
    /// The cluster that the certificates are for; the bot's own when empty.
    cluster: String,
    sink: Arc<Sink>,
}

impl Output {
    /// Opens the destination of an entry.
    pub(crate) fn open(config: &Config, service: &Service, name: String) -> Result<Self, BotError> {
        let destination = service.destination.as_ref();
        let destination = destination.ok_or_else(|| BotError::Unsupported(format!("{name} has no destination")))?;
        if service.text("ssh_config") != "off" {
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
            ttl: config.ttl_of(service),
            roles: service.roles.clone(),
            allow_reissue: service.flag("allow_reissue"),
            cluster: service.text("cluster").to_owned(),
            sink: Arc::new(Sink::open(destination)?),
            name,
        })
    }

    /// Between two writes: a little more than the interval, so that the bot's own identity, which no certificate
    /// outlives, goes first; never so much that the old certificate ends before.
    pub(crate) fn pause(&self) -> Duration {
        let late = self.interval / 20;
        self.interval + late.min(self.ttl.saturating_sub(self.interval) / 2)
    }

    /// Gets new certificates and writes the artifacts.
    pub(crate) async fn write(&self, hub: &Hub) -> Result<(), BotError> {
        identity::write(self, hub).await
    }

    fn put(&self, name: &str, content: &str) -> Result<(), DestinationError> {
        self.sink.write(name, content.as_bytes())
    }
}

/// The names of the files that an entry writes, for `tbot init`.
pub fn artifacts(service: &Service) -> Vec<&'static str> {
    match service.kind.name {
        "identity" => identity::ARTIFACTS.to_vec(),
        _ => Vec::new(),
    }
}
