//! A running agent.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use client::Backoff;
use clock::Clock;
use crypto::Random;
use domain::Error;
use service::{Component, Stop};
use tokio::{sync::watch, task::JoinSet};
use tunnel::{
    Open, Stream,
    agent::{Agent, Entry},
    link::Serve,
};

use crate::{Host, Service, dial::Dialler, entry, heartbeat};

/// Keeps the identity of `host`, holds links to the proxies as soon as all `services` are prepared, and lets these answer
/// the streams, until `stop`; then what was announced is taken back and the streams that run come to their end.
/// `component` is ready while there is a link.
///
/// # Errors
/// There is nothing to serve.
pub async fn run(host: Host, services: Vec<Arc<dyn Service>>, component: Component, stop: Stop) -> Result<(), Error> {
    if services.is_empty() {
        return Err(Error::invalid("an agent needs something to serve"));
    }
    let connected = watch::Sender::new(Vec::new());
    let (clock, random) = (host.config().clock.clone(), host.config().random.clone());
    // What the streams need that come to their end after `stop`, lives until the last of them.
    let over = Stop::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(steadily("identity", clock.clone(), random.clone(), over.clone(), {
        let (host, over) = (host.clone(), over.clone());
        move || {
            let (host, over) = (host.clone(), over.clone());
            async move { host.keep(over).await }
        }
    }));
    for service in &services {
        tasks.spawn(steadily("announcements", clock.clone(), random.clone(), stop.clone(), {
            let (host, service, connected, stop) = (host.clone(), Arc::clone(service), connected.clone(), stop.clone());
            move || heartbeat::run(host.clone(), Arc::clone(&service), connected.subscribe(), stop.clone())
        }));
        tasks.spawn(steadily(service.name(), clock.clone(), random.clone(), over.clone(), {
            let (service, stop, over) = (Arc::clone(service), stop.clone(), over.clone());
            move || {
                let (service, stop, over) = (Arc::clone(&service), stop.clone(), over.clone());
                async move { service.run(stop, over).await }
            }
        }));
    }
    let (entry, to_dial) = watch::channel(Entry::fixed(host.config().entry.clone()));
    tasks.spawn(steadily("proxies", clock.clone(), random.clone(), stop.clone(), {
        let (host, connected, stop) = (host.clone(), connected.clone(), stop.clone());
        move || entry::run(host.clone(), entry.clone(), connected.subscribe(), stop.clone())
    }));
    let reporting = connected.subscribe();
    let by_name = services.iter().map(|service| (service.name(), Arc::clone(service))).collect();
    let agent = Agent {
        entry: to_dial,
        dial: Arc::new(Dialler(host.clone())),
        serve: Arc::new(ByName(by_name)),
        connected,
        clock,
        random,
    };
    if prepared(&services, &component, &stop).await {
        tokio::join!(agent.run(stop.token().clone()), report(reporting, component, stop));
    }
    over.soft();
    while tasks.join_next().await.is_some() {}
    for service in services {
        service.finish().await;
    }
    Ok(())
}

/// Runs what must not end before `end`; what does, or panics, is begun anew.
async fn steadily<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    clock: Clock,
    random: Random,
    end: Stop,
    mut begin: impl FnMut() -> F,
) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        // A task of its own, for a panic to end no more than this.
        let mut task = JoinSet::new();
        task.spawn(begin());
        let ended = task.join_next().await;
        if end.is_requested() {
            return;
        }
        match ended {
            Some(Err(error)) => tracing::error!(task = name, %error, "a task of the agent panicked; beginning it anew"),
            _ => tracing::error!(task = name, "a task of the agent ended too early; beginning it anew"),
        }
        tokio::select! {
            () = end.requested() => return,
            () = clock.sleep(backoff.wait(&random)) => {}
        }
    }
}

/// Waits until all services are prepared, and says for which; false when there is nothing left to prepare for.
async fn prepared(services: &[Arc<dyn Service>], component: &Component, stop: &Stop) -> bool {
    for service in services {
        let name = service.name();
        component.unready(format!("what {name:?} needs before it serves is not there yet; see the log"));
        tokio::select! {
            () = stop.requested() => return false,
            () = service.prepared() => {}
        }
    }
    !stop.is_requested()
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
