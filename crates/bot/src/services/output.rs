//! The task of one output: write, wait, write again; sooner when somebody asks or the authorities have changed.

use std::{sync::Arc, time::Duration};

use client::Backoff;
use domain::error::Kind;
use service::{Component, Stop};
use tokio::sync::watch;

use crate::{
    BotError,
    metrics::Task,
    outputs::Output,
    renewal::{
        driver::chain,
        machine::{FIRST_WAIT, LONGEST_WAIT},
    },
    run::{Current, Hub},
};

/// Attempts in a row before the output is reported unhealthy, and before one-shot mode gives up.
const ATTEMPTS: u32 = 5;

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, output: Arc<Output>, component: Component, stop: Stop) {
    let (mut reload, mut identity) = (hub.reload.subscribe(), hub.subscribe());
    let mut failures = 0;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    tokio::select! {
        () = stop.requested() => return,
        () = hub.wait_for_identity() => {}
    }
    loop {
        reload.borrow_and_update();
        identity.borrow_and_update();
        let wait = match round(&hub, &output, failures).await {
            Ok(pause) => {
                (failures, backoff) = (0, Backoff::new(FIRST_WAIT, LONGEST_WAIT));
                component.ready();
                pause
            }
            Err(error) => {
                failures += 1;
                let reason = chain(&error);
                tracing::warn!(output = output.name, error = reason, failures, "the output is not renewed");
                let is_denied = error.kind() == Kind::Denied;
                if failures >= ATTEMPTS || is_denied {
                    component.unready(reason);
                }
                // What a person has to change is not asked for every second.
                if is_denied { LONGEST_WAIT } else { backoff.wait(hub.random()) }
            }
        };
        let nearly_due = if failures == 0 { hub.clock().boot() + wait * 3 / 4 } else { Duration::ZERO };
        tokio::select! {
            () = stop.requested() => return,
            () = hub.sleep(wait) => {}
            Ok(()) = reload.changed() => {}
            () = renewed_after(&hub, &mut identity, nearly_due) => {}
        }
    }
}

/// Waits for a new identity of the bot at a time when the output would soon be due anyway.
async fn renewed_after(hub: &Hub, identity: &mut watch::Receiver<Option<Arc<Current>>>, boot: Duration) {
    loop {
        // The hub holds the sender.
        let _ = identity.changed().await;
        if hub.clock().boot() >= boot {
            return;
        }
    }
}

/// Attempts until it is written, or patience is over: for one-shot mode.
pub(crate) async fn once(hub: &Hub, output: &Output, component: &Component) -> Result<(), BotError> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    for failures in 0..ATTEMPTS {
        match round(hub, output, failures).await {
            Ok(_) => {
                component.ready();
                return Ok(());
            }
            Err(error) => {
                // What does not exist yet may be announced in a moment.
                let helps = matches!(&error, BotError::Auth { source, .. }
                    if matches!(source.kind, Kind::Unavailable | Kind::NotFound));
                if !helps || failures + 1 == ATTEMPTS {
                    return Err(error);
                }
                tracing::warn!(output = output.name, error = chain(&error), "the output is not written yet");
                let wait: Duration = backoff.wait(hub.random());
                hub.sleep(wait).await;
            }
        }
    }
    Ok(())
}

async fn round(hub: &Hub, output: &Output, retries: u32) -> Result<Duration, BotError> {
    let task = Task { service: output.kind.to_owned(), name: output.name.clone() };
    let began = hub.clock().monotonic();
    let done = output.write(hub).await;
    hub.metrics.round(&task, done.is_ok().then_some(retries), hub.clock().monotonic().saturating_sub(began));
    done
}
