//! A running agent.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use domain::Error;
use service::{Component, Stop};
use tokio::{sync::watch, task::JoinSet};
use tunnel::{
    Open, Stream,
    agent::{Agent, Entry},
    link::Serve,
};

use crate::{Host, Service, dial::Dialler, entry, heartbeat};

/// Keeps the identity of `host`, holds links to the proxies, and lets `services` answer the streams, until `stop`; then
/// what was announced is taken back and the streams that run come to their end. `component` is ready while there is a
/// link.
///
/// # Errors
/// There is nothing to serve.
pub async fn run(host: Host, services: Vec<Arc<dyn Service>>, component: Component, stop: Stop) -> Result<(), Error> {
    if services.is_empty() {
        return Err(Error::invalid("an agent needs something to serve"));
    }
    let connected = watch::Sender::new(Vec::new());
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (host, stop) = (host.clone(), stop.clone());
        async move { host.keep(stop).await }
    });
    tasks.spawn(report(connected.subscribe(), component, stop.clone()));
    for service in &services {
        tasks.spawn(heartbeat::run(host.clone(), Arc::clone(service), connected.subscribe(), stop.clone()));
        let (service, stop) = (Arc::clone(service), stop.clone());
        tasks.spawn(async move { service.run(stop).await });
    }
    let (entry, to_dial) = watch::channel(Entry::fixed(host.config().entry.clone()));
    tasks.spawn(entry::run(host.clone(), entry, connected.subscribe(), stop.clone()));
    let by_name = services.iter().map(|service| (service.name(), Arc::clone(service))).collect();
    let agent = Agent {
        entry: to_dial,
        dial: Arc::new(Dialler(host.clone())),
        serve: Arc::new(ByName(by_name)),
        connected,
        clock: host.config().clock.clone(),
        random: host.config().random.clone(),
    };
    agent.run(stop.token().clone()).await;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the agent panicked");
        }
    }
    for service in services {
        service.finish().await;
    }
    Ok(())
}

async fn report(mut connected: watch::Receiver<Vec<String>>, component: Component, stop: Stop) {
    loop {
        if connected.borrow_and_update().is_empty() {
            component.unready("no link to a proxy; see the log");
        } else {
            component.ready();
        }
        tokio::select! {
            () = stop.requested() => return,
            changed = connected.changed() => if changed.is_err() { return },
        }
    }
}

/// Hands a stream to the service it is for.
struct ByName(BTreeMap<&'static str, Arc<dyn Service>>);

#[async_trait]
impl Serve for ByName {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        match self.0.get(open.service.as_str()) {
            Some(service) => service.admit(open).await,
            None => Err(format!("this agent has no service {:?}", open.service)),
        }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        if let Some(service) = self.0.get(open.service.as_str()) {
            service.serve(open, stream).await;
        }
    }
}
