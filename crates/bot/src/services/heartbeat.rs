//! Tells the auth service that this bot instance lives, and where.

use std::time::Duration;

use api::{
    r#gen::teleport::machineid::v1::{BotInstanceStatusHeartbeat, BotKind, SubmitHeartbeatRequest},
    methods::teleport::machineid::v1::bot_instance_service::SubmitHeartbeat,
};
use domain::{Error, error::Kind};
use service::{Component, Stop};

use crate::{identity::wire_time, run::Hub};

/// Between two heartbeats.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// After one that failed.
const AGAIN: Duration = Duration::from_secs(60);

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, component: Component, stop: Stop) {
    let mut is_startup = true;
    tokio::select! {
        () = stop.requested() => return,
        () = hub.wait_for_identity() => {}
    }
    loop {
        let wait = match send(&hub, is_startup).await {
            Ok(()) => {
                is_startup = false;
                component.ready();
                EVERY
            }
            // An auth service without heartbeats is no reason to be unready.
            Err(error) if error.kind == Kind::Unsupported => {
                component.ready_with_note(error.message);
                EVERY
            }
            Err(error) => {
                tracing::debug!(%error, "heartbeat not sent");
                component.unready(error.message);
                AGAIN
            }
        };
        tokio::select! {
            () = stop.requested() => return,
            () = hub.sleep(wait) => {}
        }
    }
}

/// Sends one.
pub(crate) async fn send(hub: &Hub, is_startup: bool) -> Result<(), Error> {
    let config = hub.config();
    let uptime = hub.clock().boot().saturating_sub(hub.started);
    let heartbeat = BotInstanceStatusHeartbeat {
        recorded_at: Some(wire_time(hub.clock().now())),
        is_startup,
        version: env!("CARGO_PKG_VERSION").into(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        uptime: Some(prost_types::Duration { seconds: i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX), nanos: 0 }),
        join_method: config.onboarding.method().to_owned(),
        one_shot: config.oneshot,
        architecture: std::env::consts::ARCH.into(),
        os: std::env::consts::OS.into(),
        kind: BotKind::Tbot.into(),
        ..BotInstanceStatusHeartbeat::default()
    };
    let request = SubmitHeartbeatRequest { heartbeat: Some(heartbeat), service_health: Vec::new() };
    hub.client().await?.call::<SubmitHeartbeat>(request).await.map(|_| ())
}
