//! Bots.

use domain::resources::bot::{Bot, BotSpec, BotStatus, Trait};

use super::wire::{message, resource};
use crate::r#gen::teleport::machineid::v1 as machineid;

message! {
    BotSpec => machineid::BotSpec {
        roles, traits, max_session_ttl
    }
    Trait => machineid::Trait {
        name, values
    }
    BotStatus => machineid::BotStatus {
        user_name, role_name
    }
}

resource!(Bot => machineid::Bot, status);
