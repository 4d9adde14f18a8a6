//! A bot says that it lives, and how its services fare.

use domain::{
    Error,
    error::Kind as ErrorKind,
    resources::{
        BotInstance,
        bot_instance::{Heartbeat, ServiceHealth},
    },
};

use super::{RACES, note_arrival, unsettled};
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
        return Err(Error::denied("access denied: only a bot with its own identity sends heartbeats"));
    }
    check(&heartbeat, &services)?;
    heartbeat.recorded_at = Some(auth.clock.now());
    let (bot, instance) = (identity.bot_name.as_str(), identity.bot_instance_id.as_str());
    for attempt in 1..=RACES {
        let stored = auth.store.repository::<BotInstance>().stored_in(bot, instance).await?;
        let mut stored = stored.ok_or_else(|| Error::not_found("this bot instance does not exist any more"))?;
        stored.value.status.record_heartbeat(heartbeat.clone());
        stored.value.status.service_health.clone_from(&services);
        let change = note_arrival(auth, caller, auth.store.change().replace(stored)?).await?;
        match change.commit().await {
            Ok(_) => break,
            // A renewal of this instance was faster; it keeps its part, and this one is put on top.
            Err(error) if error.kind() == ErrorKind::Conflict && attempt < RACES => {}
            Err(error) => return Err(unsettled(error)),
        }
    }
    Ok(())
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
