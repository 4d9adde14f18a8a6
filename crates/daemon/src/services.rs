//! The services of a server, one file each.
//!
//! Each comes to life in one way: `start` builds it from what all [`Shared`], serves it under the supervisor, and says
//! in the readiness registry when it works.

mod app;
mod auth;
mod identity;
mod proxy;
mod stand_in;

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use anyhow::Context;
use net::{Listener, ListenerOptions};
use service::{Policy, Readiness, Supervisor};
use tokio::net::TcpListener;

pub(crate) use self::{app::AppService, auth::AuthService, identity::token as join_token, proxy::ProxyService};
use crate::{
    config::{Address, Config},
    data_dir::DataDir,
    metrics::Metrics,
    server::Environment,
};

/// The task that is the agent of applications, a client of the API that has something to say at its end.
const AGENT: &str = "app";

/// The task that is the proxy. It lives by watches of the API until what it carries has ended.
const PROXY: &str = "proxy";

/// What the services of one process share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    pub(crate) data_dir: &'a DataDir,
    pub(crate) metrics: &'a Metrics,
    pub(crate) readiness: &'a Readiness,
    pub(crate) supervisor: &'a Supervisor,
}

impl Shared<'_> {
    /// Opens a public port, or takes it over from the program image before; `name` is what it is called there, `key`
    /// what the file calls it.
    async fn listen(&self, name: &str, key: &str, address: &Address) -> anyhow::Result<Listener> {
        let address = resolve(address).await?;
        let opened =
            self.open(name, address).map_err(|error| match error.chain().find_map(|cause| cause.downcast_ref()) {
                Some(cause) if io::Error::kind(cause) == io::ErrorKind::AddrInUse => {
                    domain::Error::conflict(format!("{error:#}")).into()
                }
                _ => error,
            });
        opened.with_context(|| format!("{key} {address} cannot be used; is another server running?"))
    }

    fn open(&self, name: &str, address: SocketAddr) -> anyhow::Result<Listener> {
        let (options, handover) = (ListenerOptions::default(), self.environment.handover.as_ref());
        let listener = match handover.and_then(|handover| handover.take_tcp(name, address)) {
            Some(inherited) => Listener::from_tcp(TcpListener::from_std(inherited)?, options),
            None => Listener::bind(address, options)?,
        };
        if let Some(handover) = handover {
            handover.keep(name, &listener)?;
        }
        Ok(listener)
    }
}

/// A task that owns what it serves, and so cannot be started twice; its end is the end of the server.
fn once<F, E>(supervisor: &Supervisor, name: &str, start: impl FnOnce(service::Stop) -> F + Send + 'static)
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut start = Some(start);
    supervisor.spawn(name, Policy::Fatal, move |stop| {
        let work = start.take().map(|start| start(stop));
        async move {
            match work {
                Some(work) => work.await.map_err(anyhow::Error::from),
                None => Ok(()),
            }
        }
    });
}

pub(crate) async fn resolve(address: &Address) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, address.port));
    }
    let mut found = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .with_context(|| format!("\"{address}\" cannot be resolved"))?;
    found.next().with_context(|| format!("\"{address}\" has no address"))
}
