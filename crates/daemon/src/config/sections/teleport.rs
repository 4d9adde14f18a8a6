//! `teleport:`: what all services of one process share.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use domain::form::duration;
use serde::Serialize;

use super::{
    log::{self, Log},
    storage::{self, Storage},
};
use crate::config::{address::Address, fields::Fields, schema::Schema};

/// Where state lives unless the file says otherwise; upstream's place, so that a host can change programs.
const DATA_DIR: &str = "/var/lib/teleport";

/// The port of the diagnostics endpoint when only a host is given.
const DIAG_PORT: u16 = 3000;

/// What all services of one process share.
#[derive(Clone, Debug, Serialize)]
pub struct Common {
    /// This machine's name in the cluster; the host name unless given.
    pub nodename: String,
    /// Where state lives.
    pub data_dir: PathBuf,
    /// Written at start, removed at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// The IP address that others are told to reach us at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise_ip: Option<IpAddr>,
    /// `/healthz`, `/readyz`, `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diag_addr: Option<Address>,
    /// How long a server that was told to stop goes on serving, unready, so that a load balancer sends others elsewhere.
    #[serde(serialize_with = "duration::go::serialize")]
    pub shutdown_delay: Duration,
    /// Pins of the CA of the cluster that is joined.
    pub ca_pin: Vec<String>,
    /// The log.
    pub log: Log,
    /// The store.
    pub storage: Storage,
}

const CONNECTION_LIMITS: Schema =
    Schema::Map(&[("max_connections", Schema::Number), ("max_users", Schema::Number), ("rates", Schema::Any)]);

const AUTH_CONNECTION_CONFIG: Schema = Schema::Map(&[
    ("upper_limit_between_retries", Schema::Duration),
    ("initial_connection_delay", Schema::Duration),
    ("backoff_step_duration", Schema::Duration),
]);

const CACHE: Schema = Schema::Map(&[
    ("enabled", Schema::Flag),
    ("type", Schema::Text),
    ("ttl", Schema::Duration),
    ("max_backoff", Schema::Duration),
]);

const JOIN_PARAMS: Schema = Schema::Map(&[
    ("method", Schema::Text),
    ("token_name", Schema::Text),
    ("token_secret", Schema::Text),
    ("azure", Schema::Map(&[("client_id", Schema::Text)])),
    ("gitlab", Schema::Map(&[("token_env_var_name", Schema::Text)])),
    ("bound_keypair", Schema::Any),
]);

pub(super) fn read(fields: &Fields<'_>) -> Common {
    let data_dir = fields.text("data_dir").map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from);
    let nodename = fields.parsed("nodename", |text| {
        let fits = !text.is_empty() && text.len() <= 255 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits { Ok(text.to_owned()) } else { Err("must be a host name of at most 255 characters".to_owned()) }
    });
    let common = Common {
        nodename: nodename.unwrap_or_else(host_name),
        pid_file: fields.text("pid_file").map(PathBuf::from),
        advertise_ip: fields.ip("advertise_ip"),
        diag_addr: fields.address("diag_addr", DIAG_PORT),
        shutdown_delay: fields.duration("shutdown_delay").unwrap_or_default(),
        ca_pin: fields.texts("ca_pin").unwrap_or_default(),
        log: log::read(fields.section_or_empty("log")),
        storage: storage::read(fields.section_or_empty("storage"), &data_dir),
        data_dir,
    };
    fields.warn("ca_pin", "has no effect: it pins the cluster that an agent joins, and an auth service joins none");
    join_parameters(fields);
    for key in ["ciphers", "kex_algos", "mac_algos", "ciphersuites"] {
        fields.unsupported(key, &Schema::Texts, "remove this key: the safe defaults are used");
    }
    fields.ineffective("connection_limits", &CONNECTION_LIMITS);
    fields.ineffective("auth_connection_config", &AUTH_CONNECTION_CONFIG);
    if !fields.checked("cache", &CACHE) {
        fields.warn("cache", "has no effect: decisions are always made from the cache");
    }
    fields.unsupported("relay_server", &Schema::Text, "remove this key");
    fields.finish();
    common
}

/// How an agent joins a cluster; an auth service alone joins none.
fn join_parameters(fields: &Fields<'_>) {
    for key in ["auth_token", "auth_server", "proxy_server"] {
        fields.ineffective(key, &Schema::Text);
    }
    fields.ineffective("auth_servers", &Schema::Texts);
    fields.ineffective("join_params", &JOIN_PARAMS);
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_ascii_lowercase();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}
