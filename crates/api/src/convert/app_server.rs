//! Servers that announce applications.

use domain::resources::app_server::{AppServer, AppServerSpec};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    AppServerSpec => types::AppServerSpecV3 {
        version, hostname, host_id, rotation, app, proxy_ids = proxy_i_ds
    }
}

resource!(AppServer => types::AppServerV3);
