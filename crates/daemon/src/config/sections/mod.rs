//! One file for each section of the configuration file: its type, its defaults, its reader.

pub(super) mod agents;
pub(super) mod app_service;
pub(super) mod auth_service;
pub(super) mod authentication;
pub(super) mod log;
pub(super) mod proxy_service;
pub(super) mod ssh_service;
pub(super) mod storage;
pub(super) mod teleport;

use super::{Config, Fields, Node, Problems, Version, schema::Schema};

const SWITCH_OFF: &str = "remove this section, or set \"enabled: no\" in it";

/// Reads the whole file, reporting as it goes; what is wrong gets its default.
pub(super) fn read(root: &Node, problems: &Problems) -> Config {
    let fields = Fields::of("", root, problems);
    let version = fields.choice("version", &[("v1", Version::V1), ("v2", Version::V2), ("v3", Version::V3)]);
    let config = Config {
        version: version.unwrap_or_default(),
        teleport: teleport::read(&fields.section_or_empty("teleport")),
        auth_service: auth_service::read(&fields.section_or_empty("auth_service")),
        warnings: Vec::new(),
    };
    let parts: [(&'static str, &Schema); 8] = [
        ("proxy_service", &proxy_service::SCHEMA),
        ("app_service", &app_service::SCHEMA),
        ("ssh_service", &ssh_service::SCHEMA),
        ("db_service", &agents::DB_SERVICE),
        ("kubernetes_service", &agents::KUBERNETES_SERVICE),
        ("discovery_service", &agents::DISCOVERY_SERVICE),
        ("windows_desktop_service", &agents::WINDOWS_DESKTOP_SERVICE),
        ("okta_service", &Schema::Any),
    ];
    for (key, schema) in parts {
        fields.unsupported(key, schema, SWITCH_OFF);
    }
    fields.unsupported("debug_service", &Schema::Map(&[("enabled", Schema::Flag)]), SWITCH_OFF);
    fields.unsupported("relay_service", &Schema::Any, SWITCH_OFF);
    fields.unsupported("jamf_service", &Schema::Any, SWITCH_OFF);
    fields.unsupported("tracing_service", &Schema::Any, SWITCH_OFF);
    fields.finish();
    config
}
