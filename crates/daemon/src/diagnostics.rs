//! The two places where a server is asked how it is: the diagnostics port, and the debug socket on its own host.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use service::{
    Policy, Supervisor,
    diagnostics::{Diagnostics, Paths, Port},
};
use tokio::net::TcpListener;

use crate::{
    config::Severity,
    local_socket::{self, DEBUG},
    services::{Shared, resolve},
};

/// What the diagnostics port is called when it is handed over.
const DIAG: &str = "diag";

/// Serves both, as the configuration says; returns where the port listens.
pub(crate) async fn start(shared: &Shared<'_>) -> anyhow::Result<Option<SocketAddr>> {
    let Shared { config, environment, data_dir, metrics, readiness, supervisor } = *shared;
    let diagnostics = Diagnostics {
        paths: Paths::Server,
        readiness: readiness.clone(),
        registry: Arc::new(metrics.registry(environment.clock.now())),
        clock: environment.clock.clone(),
        debug: config.teleport.log.severity <= Severity::Debug,
        log: None,
    };
    if config.debug_service.enabled {
        let socket = local_socket::bind(data_dir.path(), DEBUG, environment.handover.as_ref())
            .context("the debug socket cannot be opened; \"debug_service: {enabled: no}\" does without")?;
        let diagnostics = Diagnostics { debug: true, log: environment.log.clone(), ..diagnostics.clone() };
        serve("debug socket", diagnostics, Port::Unix(socket), supervisor);
    }
    let Some(address) = &config.teleport.diag_addr else { return Ok(None) };
    let wanted = resolve(address).await?;
    let handover = environment.handover.as_ref();
    let listener = match handover.and_then(|handover| handover.take_tcp(DIAG, wanted)) {
        Some(inherited) => TcpListener::from_std(inherited)?,
        None => TcpListener::bind(wanted)
            .await
            .with_context(|| format!("diag_addr {address} cannot be used; choose another with teleport.diag_addr"))?,
    };
    if let Some(handover) = handover {
        handover.keep(DIAG, &listener)?;
    }
    let bound = listener.local_addr()?;
    serve("diagnostics", diagnostics, Port::Tcp(listener), supervisor);
    Ok(Some(bound))
}

fn serve(name: &str, diagnostics: Diagnostics, port: Port, supervisor: &Supervisor) {
    let (port, tasks) = (Arc::new(port), supervisor.clone());
    supervisor
        .spawn(name, Policy::Fatal, move |stop| diagnostics.clone().serve(Arc::clone(&port), tasks.clone(), stop));
}
