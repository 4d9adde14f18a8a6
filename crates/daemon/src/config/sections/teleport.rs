//! `teleport:`: what all services of one process share.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use domain::form::duration;
use serde::{Serialize, Serializer};

use super::{
    auth_service,
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
    /// Auth services, or proxies that lead to one, of the cluster that is joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auth_servers: Vec<Address>,
    /// The proxy of the cluster that is joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_server: Option<Address>,
    /// What lets this host join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_params: Option<JoinParams>,
    /// Pins of the host CA that this cluster must have; none: any.
    pub ca_pin: Vec<String>,
    /// Believe whoever answers when this host joins. No file says so, only a flag.
    #[serde(skip)]
    pub insecure: bool,
    /// What one address may hold.
    pub connection_limits: ConnectionLimits,
    /// The log.
    pub log: Log,
    /// The store.
    pub storage: Storage,
}

/// What lets this host join a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinParams {
    /// The join token, or the path of a file that holds it.
    pub token: String,
}

impl std::fmt::Debug for JoinParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinParams").finish_non_exhaustive()
    }
}

impl Serialize for JoinParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("method", "token"), ("token_name", "********")])
    }
}

/// What one address may hold.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ConnectionLimits {
    /// Connections at a time from one address whose peers have shown no certificate of ours; more wait their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
}

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

/// The port of a proxy when only a host is given.
const PROXY_PORT: u16 = 3080;

/// Join methods that agents do not know yet.
const METHODS: [&str; 13] = [
    "ec2",
    "iam",
    "github",
    "circleci",
    "kubernetes",
    "gitlab",
    "azure",
    "gcp",
    "spacelift",
    "tpm",
    "terraform_cloud",
    "bitbucket",
    "oracle",
];

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
        auth_servers: auth_servers(fields),
        proxy_server: fields.address("proxy_server", PROXY_PORT),
        join_params: join_params(fields),
        ca_pin: pins(fields),
        insecure: false,
        connection_limits: connection_limits(&fields.section_or_empty("connection_limits")),
        log: log::read(fields.section_or_empty("log")),
        storage: storage::read(fields.section_or_empty("storage"), &data_dir),
        data_dir,
    };
    if common.proxy_server.is_some() && !common.auth_servers.is_empty() {
        fields.refuse("proxy_server", "stands beside auth_server", "write one of the two");
    }
    for key in ["ciphers", "kex_algos", "mac_algos", "ciphersuites"] {
        fields.unsupported(key, &Schema::Texts, "remove this key: the safe defaults are used");
    }
    fields.ineffective("auth_connection_config", &AUTH_CONNECTION_CONFIG);
    if !fields.checked("cache", &CACHE) {
        fields.warn("cache", "has no effect: decisions are always made from the cache");
    }
    fields.unsupported("relay_server", &Schema::Text, "remove this key");
    fields.finish();
    common
}

fn connection_limits(fields: &Fields<'_>) -> ConnectionLimits {
    let max_connections = fields.number("max_connections").and_then(|number| usize::try_from(number).ok());
    if max_connections == Some(0) {
        fields.refuse("max_connections", "must be at least 1", "remove it to have no limit for one address");
    }
    // A limit that somebody relies on and nobody keeps is worse than a start that is refused.
    fields.unsupported("max_users", &Schema::Number, "remove it: max_connections limits each address");
    fields.unsupported("rates", &Schema::Any, "remove it: max_connections limits each address");
    fields.finish();
    ConnectionLimits { max_connections }
}

fn pins(fields: &Fields<'_>) -> Vec<String> {
    read_pins(&fields.texts("ca_pin").unwrap_or_default()).unwrap_or_else(|message| {
        fields.refuse("ca_pin", message, "write \"sha256:\" and 64 hexadecimal digits; tctl status shows the pin");
        Vec::new()
    })
}

/// Reads pins, and files with one pin a line.
pub(crate) fn read_pins(texts: &[String]) -> Result<Vec<String>, String> {
    let is_pin = |pin: &str| {
        pin.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut pins = Vec::new();
    for text in texts {
        let content = if text.starts_with('/') {
            std::fs::read_to_string(text).map_err(|error| format!("{text} cannot be read: {error}"))?
        } else {
            text.clone()
        };
        pins.extend(content.split_whitespace().map(str::to_owned));
    }
    match pins.iter().find(|pin| !is_pin(pin)) {
        Some(pin) => Err(format!("\"{pin}\" is no pin")),
        None => Ok(pins),
    }
}

/// One, as version 3 writes it, or several.
fn auth_servers(fields: &Fields<'_>) -> Vec<Address> {
    let mut servers: Vec<Address> = fields.address("auth_server", auth_service::PORT).into_iter().collect();
    servers.extend(fields.addresses("auth_servers", auth_service::PORT));
    servers
}

/// `auth_token`, or `join_params` as version 3 writes it.
fn join_params(fields: &Fields<'_>) -> Option<JoinParams> {
    let old = fields.text("auth_token");
    let Some(params) = fields.section("join_params") else { return old.map(|token| JoinParams { token }) };
    if old.is_some() {
        fields.refuse("auth_token", "stands beside join_params", "write one of the two");
    }
    match params.text("method").as_deref() {
        None | Some("token") => {}
        Some(method) if METHODS.contains(&method) => {
            params.refuse("method", format!("joining by \"{method}\" is not supported yet"), "write \"token\"");
        }
        Some(method) => params.refuse("method", format!("there is no join method \"{method}\""), "write \"token\""),
    }
    let token = params.text("token_name");
    if token.is_none() {
        params.refuse("token_name", "is missing", "write the token, or the path of a file that holds it");
    }
    for key in ["token_secret", "azure", "gitlab", "bound_keypair"] {
        params.unsupported(key, &Schema::Any, "remove it: it belongs to another join method");
    }
    params.finish();
    token.map(|token| JoinParams { token })
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_ascii_lowercase();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}
