//! The agent beside applications: a host identity, links to the proxies, and what is served through them.

use std::sync::Arc;

use agent::Service;
use agent_app::{AppService as Applications, Hosts, Metrics};
use domain::{Error, role::SystemRole};
use service::{Component, Stop};

use super::{
    AGENT, AuthService, ProxyService, Shared,
    identity::{Source, dialled},
    once,
};
use crate::config::AppService as Section;

/// An agent that runs.
pub(crate) struct AppService;

impl AppService {
    /// Links up with the proxies as soon as there is an identity.
    ///
    /// # Errors
    /// The section makes no sense.
    pub(crate) fn start(
        shared: &Shared<'_>,
        auth: Option<&AuthService>,
        proxy: Option<&ProxyService>,
    ) -> anyhow::Result<Self> {
        let component = shared.readiness.register("app");
        let common = &shared.config.teleport;
        let entry = match proxy {
            Some(proxy) => vec![dialled(proxy.address()).to_string()],
            None => common.proxy_server.iter().map(ToString::to_string).collect(),
        };
        let source = Source::new(shared, auth, SystemRole::App, Vec::new(), entry)?;
        let settings = settings(&shared.config.app_service, common.nodename.clone(), shared.metrics.app.clone())?;
        once(shared.supervisor, AGENT, move |stop| run(source, settings, component, stop));
        Ok(Self)
    }
}

async fn run(source: Source, settings: agent_app::Config, component: Component, stop: Stop) -> Result<(), Error> {
    let Some(host) = source.obtain(&component, &stop).await? else { return Ok(()) };
    let applications: Arc<dyn Service> = Applications::of_host(settings, &host)?;
    agent::run(host, vec![applications], component, stop).await
}

fn settings(section: &Section, hostname: String, metrics: Metrics) -> Result<agent_app::Config, Error> {
    Ok(agent_app::Config {
        hostname,
        apps: section.apps.iter().map(|app| app.0.clone()).collect(),
        debug_app: section.debug_app,
        resources: section.resources.iter().map(|selector| selector.labels.clone()).collect(),
        hosts: Hosts::parse(&section.allowed_hosts, &section.denied_hosts)?,
        roots: client::system_authorities(),
        metrics,
    })
}
