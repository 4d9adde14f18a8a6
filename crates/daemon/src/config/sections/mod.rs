//! One file for each section of the configuration file: its type, its defaults, its reader.

pub(super) mod agents;
pub(super) mod app_service;
pub(super) mod auth_service;
pub(super) mod authentication;
pub(super) mod debug_service;
pub(super) mod log;
pub(super) mod proxy_service;
pub(super) mod ssh_service;
pub(super) mod storage;
pub(super) mod teleport;

use super::{Config, Fields, Node, Problems, Version, schema::Schema};

const SWITCH_OFF: &str = "remove this section, or set \"enabled: no\" in it";

/// Parts that are not built yet.
const PARTS: [(&str, &Schema); 9] = [
    ("ssh_service", &ssh_service::SCHEMA),
    ("db_service", &agents::DB_SERVICE),
    ("kubernetes_service", &agents::KUBERNETES_SERVICE),
    ("discovery_service", &agents::DISCOVERY_SERVICE),
    ("windows_desktop_service", &agents::WINDOWS_DESKTOP_SERVICE),
    ("okta_service", &agents::OKTA_SERVICE),
    ("jamf_service", &agents::JAMF_SERVICE),
    ("relay_service", &agents::RELAY_SERVICE),
    ("tracing_service", &TRACING_SERVICE),
];

const KEY_PAIRS: Schema = Schema::List(&Schema::Map(&[("key_file", Schema::Text), ("cert_file", Schema::Text)]));

const METRICS_SERVICE: Schema = Schema::Map(&[
    ("enabled", Schema::Flag),
    ("listen_addr", Schema::Text),
    ("mtls", Schema::Flag),
    ("ca_certs", Schema::Texts),
    ("keypairs", KEY_PAIRS),
    ("grpc_server_latency", Schema::Flag),
    ("grpc_client_latency", Schema::Flag),
]);

const TRACING_SERVICE: Schema = Schema::Map(&[
    ("enabled", Schema::Flag),
    ("exporter_url", Schema::Text),
    ("ca_certs", Schema::Texts),
    ("https_keypairs", KEY_PAIRS),
    ("keypairs", KEY_PAIRS),
    ("sampling_rate_per_million", Schema::Number),
]);

/// Reads the whole file, reporting as it goes; what is wrong gets its default.
pub(super) fn read(root: &Node, problems: &Problems) -> Config {
    let fields = Fields::of("", root, problems);
    let version = fields.choice("version", &[("v1", Version::V1), ("v2", Version::V2), ("v3", Version::V3)]);
    let version = version.unwrap_or_default();
    let teleport = teleport::read(&fields.section_or_empty("teleport"));
    // Whoever names the auth service of another host does not want one here.
    let is_agent = teleport.proxy_server.is_some() || !teleport.auth_servers.is_empty();
    let auth_service = fields.section("auth_service");
    let runs = auth_service.is_some() || !is_agent;
    let auth_service = auth_service.unwrap_or_else(|| fields.section_or_empty("auth_service"));
    let config = Config {
        version,
        teleport,
        auth_service: auth_service::read(&auth_service, runs),
        proxy_service: proxy_service::read(&fields.section_or_empty("proxy_service"), version),
        app_service: app_service::read(&fields.section_or_empty("app_service")),
        debug_service: debug_service::read(&fields.section_or_empty("debug_service")),
        warnings: Vec::new(),
    };
    for (key, schema) in PARTS {
        fields.unsupported(key, schema, SWITCH_OFF);
    }
    fields.unsupported("metrics_service", &METRICS_SERVICE, "metrics are served at teleport.diag_addr");
    fields.finish();
    config
}

/// All parts that are not built yet.
#[cfg(test)]
pub(super) fn later() -> impl Iterator<Item = (&'static str, &'static Schema)> {
    PARTS.into_iter().chain([("metrics_service", &METRICS_SERVICE)])
}
