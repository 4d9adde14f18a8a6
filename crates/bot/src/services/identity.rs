//! The task that keeps the bot's own identity fresh; everything else waits for it.

use std::time::Duration;

use domain::{Error, error::Kind, form::duration};
use service::{Component, Stop};

use crate::{
    BotError,
    metrics::Task,
    renewal::{
        driver::{Driver, chain},
        machine::{LONGEST_WAIT, Step, Way},
    },
    run::Hub,
};

/// How long one-shot mode goes on asking when nobody answers. A server that restarts is back within it; a pipeline whose
/// address is wrong fails while somebody still looks.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, mut driver: Driver, component: Component, stop: Stop) {
    let mut renew = hub.renew.subscribe();
    let mut asked_to = false;
    loop {
        let wait = match driver.machine.step(driver.now()) {
            Step::Ask(_) => match Box::pin(round(&hub, &mut driver, &component)).await {
                Ok(()) => {
                    if std::mem::take(&mut asked_to) {
                        hub.reload_outputs();
                    }
                    Duration::ZERO
                }
                Err(_) => Duration::ZERO,
            },
            Step::Wait(left) => left,
            Step::Stuck if driver.look_for_token() => Duration::ZERO,
            Step::Stuck => {
                let help = driver.help();
                tracing::error!("{help}");
                component.unready(help);
                LONGEST_WAIT
            }
        };
        tokio::select! {
            () = stop.requested() => return,
            () = hub.nap(wait) => {}
            Ok(()) = renew.changed() => {
                tracing::info!("renewing everything now, as asked");
                asked_to = true;
                driver.machine.renew_now();
            }
        }
    }
}

/// Attempts until there is an identity, or patience is over: for one-shot mode.
pub(crate) async fn once(hub: &Hub, driver: &mut Driver, component: &Component) -> Result<(), BotError> {
    let began = hub.clock().boot();
    loop {
        match driver.machine.step(driver.now()) {
            Step::Wait(left) => hub.sleep(left).await,
            Step::Stuck => return Err(BotError::NeedsHuman(driver.help())),
            Step::Ask(_) => match Box::pin(round(hub, driver, component)).await {
                Ok(()) => return Ok(()),
                Err(BotError::Auth { what, source }) if source.kind == Kind::Unavailable => {
                    let spent = hub.clock().boot().saturating_sub(began);
                    let next = match driver.machine.step(driver.now()) {
                        Step::Wait(left) => left,
                        _ => Duration::ZERO,
                    };
                    if spent + next > PATIENCE {
                        return Err(BotError::Auth { what, source: gave_up(source, driver.machine.failures(), spent) });
                    }
                }
                Err(error) if matches!(driver.machine.step(driver.now()), Step::Stuck) => {
                    drop(error);
                    return Err(BotError::NeedsHuman(driver.help()));
                }
                // Another way may be open: the grace after an expiry, a join after the grace.
                Err(_) if matches!(driver.machine.step(driver.now()), Step::Ask(_)) => {}
                Err(error) => return Err(error),
            },
        }
    }
}

/// Why one-shot mode ends without an answer.
fn gave_up(last: Error, attempts: u32, spent: Duration) -> Error {
    let spent = duration::format(Duration::from_secs(spent.as_secs().max(1)));
    let message = format!("{} (asked {attempts} times within {spent}; one-shot mode waits no longer)", last.message);
    Error { message, ..last }
}

/// One attempt, with all that is to be said about it.
async fn round(hub: &Hub, driver: &mut Driver, component: &Component) -> Result<(), BotError> {
    let Step::Ask(way) = driver.machine.step(driver.now()) else { return Ok(()) };
    let task = Task { service: "internal/identity".into(), name: "identity".into() };
    if let Some(current) = hub.current() {
        driver.keep_up(&current.identity);
    }
    let (began, retries) = (hub.clock().monotonic(), driver.machine.failures());
    let answer = driver.attempt(way).await;
    hub.metrics.round(&task, answer.is_ok().then_some(retries), hub.clock().monotonic().saturating_sub(began));
    match answer {
        Ok(identity) => {
            let verb = if way == Way::Join { "joined" } else { "renewed" };
            tracing::info!("bot identity {verb}: {identity}");
            let complete = hub.publish(&identity).await;
            if let Err(error) = driver.adopt(complete) {
                // The identity itself is kept; only the newest authorities are not.
                tracing::warn!(error = chain(&error), "the cluster's authorities are not kept");
            }
            component.ready();
            Ok(())
        }
        Err(error) => {
            let reason = chain(&error);
            tracing::warn!(
                error = reason,
                ?way,
                failures = driver.machine.failures(),
                "the bot's identity is not renewed"
            );
            if let Some(advice) = driver.advice(&error) {
                tracing::error!("{advice}");
            }
            if driver.machine.is_unhealthy() || error.kind() == Kind::Denied || hub.current().is_none() {
                component.unready(reason);
            }
            if let (Some(identity), None) = (driver.usable().cloned(), hub.current()) {
                hub.publish(&identity).await;
            }
            Err(error)
        }
    }
}
