//! Bot instances.

use domain::resources::bot_instance::{
    Authentication, BotInstance, BotInstanceSpec, BotInstanceStatus, BotKind, HealthStatus, Heartbeat, ServiceHealth,
    ServiceIdentifier,
};

use super::wire::{message, numbers, resource};
use crate::r#gen::teleport::machineid::v1 as machineid;

message! {
    BotInstanceSpec => machineid::BotInstanceSpec {
        bot_name, instance_id, previous_instance_id
    }
    BotInstanceStatus => machineid::BotInstanceStatus {
        initial_authentication, latest_authentications, initial_heartbeat, latest_heartbeats, service_health
    }
    Authentication => machineid::BotInstanceStatusAuthentication {
        authenticated_at, join_method, join_token, metadata, generation, public_key, join_attrs
    }
    Heartbeat => machineid::BotInstanceStatusHeartbeat {
        recorded_at, is_startup, version, hostname, uptime, join_method, one_shot, architecture, os,
        external_updater, external_updater_version, kind
    }
    ServiceHealth => machineid::BotInstanceServiceHealth {
        service, status, reason, updated_at
    }
    ServiceIdentifier => machineid::BotInstanceServiceIdentifier {
        service_type = r#type, name
    }
}

numbers!(BotKind, HealthStatus);
resource!(BotInstance => machineid::BotInstance, status);
