//! Follows the cluster's authorities, so that artifacts trust a new one before it signs.

use std::time::Duration;

use client::{Backoff, WatchKind};
use domain::{Error, error::Kind};
use service::{Component, Stop};

use crate::run::Hub;

/// Changes come in bursts; all within this time are one.
const GATHER: Duration = Duration::from_secs(1);

/// How often a server without watches is asked again; authorities are read with each renewal anyway.
const SELDOM: Duration = Duration::from_secs(600);

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, component: Component, stop: Stop) {
    let mut current = hub.subscribe();
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    tokio::select! {
        () = stop.requested() => return,
        () = hub.wait_for_identity() => {}
    }
    loop {
        current.borrow_and_update();
        let ended = tokio::select! {
            () = stop.requested() => return,
            // Another identity: the watch goes over its connection.
            Ok(()) = current.changed() => continue,
            ended = follow(&hub, &component, &mut backoff) => ended,
        };
        tracing::debug!(error = %ended, "the watch on the authorities ended");
        let wait = if ended.kind == Kind::Unsupported {
            component.ready_with_note(ended.message);
            SELDOM
        } else {
            component.unready(ended.message);
            backoff.wait(hub.random())
        };
        tokio::select! {
            () = stop.requested() => return,
            () = hub.sleep(wait) => {}
        }
    }
}

/// Watches until the watch ends; returns why.
async fn follow(hub: &Hub, component: &Component, backoff: &mut Backoff) -> Error {
    let watch = async {
        let client = hub.client().await?;
        let cluster = hub.current().map(|current| current.identity.cluster().to_owned()).unwrap_or_default();
        let filter = ["host", "user", "db"].map(|ca_type| (ca_type.to_owned(), cluster.clone()));
        let kind = WatchKind { filter: filter.into(), ..WatchKind::all("cert_authority") };
        client.watch(vec![kind]).await
    };
    let mut watch = match watch.await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    *backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        // Read after the watch has begun, so that no change falls between.
        if let Err(error) = hub.refresh_authorities().await {
            return error;
        }
        component.ready();
        if let Err(error) = watch.next().await {
            return error;
        }
        while let Ok(next) = hub.clock().timeout(GATHER, watch.next()).await {
            if let Err(error) = next {
                return error;
            }
        }
    }
}
