//! Where sessions are recorded.

use domain::resources::session_recording_config::{SessionRecordingConfig, SessionRecordingConfigSpec};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    SessionRecordingConfigSpec => types::SessionRecordingConfigSpecV2 {
        mode, proxy_checks_host_keys
    }
}

resource!(SessionRecordingConfig => types::SessionRecordingConfigV2);
