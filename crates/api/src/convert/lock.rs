//! Locks.

use domain::resources::lock::{Lock, LockSpec, LockTarget};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    LockSpec => types::LockSpecV2 {
        target, message, expires, created_at, created_by
    }
    LockTarget => types::LockTarget {
        user, role, login, node, mfa_device, windows_desktop, access_request, device, server_id,
        bot_instance_id, join_token
    }
}

resource!(Lock => types::LockV2);
