//! A bot says that it lives, and how its services fare.

use domain::{
    Error,
    error::Reason,
    resources::{
        BotInstance,
        bot_instance::{Heartbeat, ServiceHealth},
    },
};
use store::settle;

use super::note_arrival;
use crate::{Auth, Caller};

/// The longest text in a heartbeat. An instance keeps some of them, and any bot may send what it likes.
const MAX_TEXT: usize = 1024;

/// The most services that a bot may report.
const MAX_SERVICES: usize = 256;

/// Adds a heartbeat to the caller's own instance, and replaces what it said about its services.
///
/// It also proves that the caller's credential has arrived, so the pending answer is cleared in the same commit.
///
/// # Errors
/// Denied for everybody but a bot with its own identity; invalid when it says too much; not found when the instance is gone.
pub async fn heartbeat(
    auth: &Auth,
    caller: &Caller,
    mut heartbeat: Heartbeat,
    services: Vec<ServiceHealth>,
) -> Result<(), Error> {
    let identity = caller.identity();
    // What a bot hands to others bears its instance too, and the bot as impersonator; it may not speak for the bot.
    let is_own =
        !identity.bot_name.is_empty() && !identity.bot_instance_id.is_empty() && identity.impersonator.is_empty();
    if !is_own {
        return Err(Error::denied("access denied: only a bot with its own identity sends heartbeats")
            .because(Reason::WrongCertificate));
    }
    check(&heartbeat, &services)?;
    heartbeat.recorded_at = Some(auth.clock.now());
    settle(|| attempt(auth, caller, &heartbeat, &services)).await
}

async fn attempt(auth: &Auth, caller: &Caller, heartbeat: &Heartbeat, services: &[ServiceHealth]) -> Result<(), Error> {
    let (bot, instance) = (&caller.identity().bot_name, &caller.identity().bot_instance_id);
    let mut change = auth.store.change();
    let stored = change.read_stored::<BotInstance>(bot, instance).await?;
    let mut stored = stored.ok_or_else(|| {
        Error::not_found("this bot instance does not exist any more").because(Reason::UnknownInstance)
    })?;
    stored.value.status.record_heartbeat(heartbeat.clone());
    stored.value.status.service_health = services.to_vec();
    note_arrival(auth, caller, change.replace(stored)?).await?.commit().await.map(|_| ())
}

fn check(heartbeat: &Heartbeat, services: &[ServiceHealth]) -> Result<(), Error> {
    let of_heartbeat = [
        &heartbeat.version,
        &heartbeat.hostname,
        &heartbeat.join_method,
        &heartbeat.architecture,
        &heartbeat.os,
        &heartbeat.external_updater,
        &heartbeat.external_updater_version,
    ];
    let of_services = services.iter().flat_map(|health| {
        let identifier = health.service.iter().flat_map(|service| [&service.service_type, &service.name]);
        identifier.chain(&health.reason)
    });
    if services.len() > MAX_SERVICES {
        return Err(Error::invalid(format!("service_health: a bot may report {MAX_SERVICES} services at most")));
    }
    if of_heartbeat.into_iter().chain(of_services).any(|text| text.len() > MAX_TEXT) {
        return Err(Error::invalid(format!("a text in the heartbeat has more than {MAX_TEXT} bytes")));
    }
    Ok(())
}
