//! `auth_service:`: the certificate authority and the API.

use std::time::Duration;

use domain::{form::duration, role::SystemRole};
use serde::{Serialize, Serializer};

use super::authentication::{self, Authentication};
use crate::config::{address::Address, fields::Fields, schema::Schema};

/// The port of the API.
pub(super) const PORT: u16 = 3025;

/// How long after the end of a bot's certificate it may still renew: a weekend without power and a day more.
const BOT_RENEWAL_GRACE: Duration = Duration::from_secs(72 * 3600);

/// The auth service.
#[derive(Clone, Debug, Serialize)]
pub struct AuthService {
    /// Whether it runs in this process.
    pub enabled: bool,
    /// The cluster's name at its first start; later it can only be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Where the API listens.
    pub listen_addr: Address,
    /// Names and addresses that clients dial; they go into the server's certificate.
    pub public_addr: Vec<Address>,
    /// Join tokens of the file.
    pub tokens: Vec<StaticToken>,
    /// How people authenticate, and what keys are used.
    pub authentication: Authentication,
    /// Where sessions are recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_recording: Option<SessionRecording>,
    /// When an idle connection of a person ends; zero: never.
    #[serde(serialize_with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<Duration>,
    /// Whether a connection ends with its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnect_expired_cert: Option<bool>,
    /// How often agents and clients are pinged.
    #[serde(serialize_with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub keep_alive_interval: Option<Duration>,
    /// After how many lost pings a connection ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_count_max: Option<u64>,
    /// How long after its end a bot's certificate may still renew; zero: not at all.
    #[serde(serialize_with = "duration::go::serialize")]
    pub bot_renewal_grace: Duration,
}

/// A join token written into the file.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticToken {
    /// Which system roles it joins.
    pub roles: Vec<String>,
    /// The token, or the path of a file that holds it.
    pub value: String,
}

impl std::fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticToken").field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl Serialize for StaticToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:********", self.roles.join(",")))
    }
}

/// Where sessions are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionRecording {
    /// On the node, sent afterwards.
    Node,
    /// On the node, sent at once.
    NodeSync,
    /// On the proxy, sent afterwards.
    Proxy,
    /// On the proxy, sent at once.
    ProxySync,
    /// Nowhere.
    Off,
}

impl SessionRecording {
    /// The name in documents and files.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionRecording::Node => "node",
            SessionRecording::NodeSync => "node-sync",
            SessionRecording::Proxy => "proxy",
            SessionRecording::ProxySync => "proxy-sync",
            SessionRecording::Off => "off",
        }
    }
}

const RECORDINGS: [(&str, SessionRecording); 5] = [
    ("node", SessionRecording::Node),
    ("node-sync", SessionRecording::NodeSync),
    ("proxy", SessionRecording::Proxy),
    ("proxy-sync", SessionRecording::ProxySync),
    ("off", SessionRecording::Off),
];

const CA_KEY_PARAMS: Schema = Schema::Map(&[
    ("pkcs11", Schema::Any),
    ("gcp_kms", Schema::Any),
    ("aws_kms", Schema::Any),
    ("health_check", Schema::Any),
]);

/// What follows from a cluster name that cannot stand in a SPIFFE id.
const NO_TRUST_DOMAIN: &str = "is no valid SPIFFE trust domain (lower-case letters, digits, '.', '-', '_'): workload \
                                   identity will not be available, and the name cannot be changed after the first start";

/// `runs`: whether it does unless the section says otherwise.
pub(super) fn read(fields: &Fields<'_>, runs: bool) -> AuthService {
    let cluster_name = fields.parsed("cluster_name", |text| {
        let fits = !text.is_empty()
            && text.len() <= 255
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/'));
        let rule = "must be 1 to 255 letters, digits, dots, dashes or underscores";
        if fits { Ok(text.to_owned()) } else { Err(format!("{rule}, found \"{}\"", text.escape_debug())) }
    });
    if let Some(name) = cluster_name.as_deref().filter(|name| spiffe::TrustDomain::parse(name).is_err()) {
        fields.warn("cluster_name", format!("\"{name}\" {NO_TRUST_DOMAIN}"));
    }
    let service = AuthService {
        enabled: fields.flag("enabled").unwrap_or(runs),
        cluster_name,
        listen_addr: fields
            .address("listen_addr", PORT)
            .unwrap_or_else(|| Address { host: "0.0.0.0".to_owned(), port: PORT }),
        public_addr: fields.addresses("public_addr", PORT),
        tokens: tokens(fields),
        authentication: authentication::read(fields.section_or_empty("authentication")),
        session_recording: fields.choice("session_recording", &RECORDINGS),
        client_idle_timeout: fields.duration("client_idle_timeout"),
        disconnect_expired_cert: fields.flag("disconnect_expired_cert"),
        keep_alive_interval: fields.duration("keep_alive_interval"),
        keep_alive_count_max: fields.number("keep_alive_count_max"),
        bot_renewal_grace: fields.duration("bot_renewal_grace").unwrap_or(BOT_RENEWAL_GRACE),
    };
    if service.disconnect_expired_cert == Some(false) {
        let message = "has no effect: a connection to an application always ends with its certificate";
        fields.warn("disconnect_expired_cert", message);
    }
    later(fields);
    fields.finish();
    service
}

/// Keys of parts that are not built, and keys that no longer matter.
fn later(fields: &Fields<'_>) {
    fields.unsupported("proxy_protocol", &Schema::Text, "write \"off\"");
    fields.unsupported("ca_key_params", &CA_KEY_PARAMS, "remove it: keys are kept by the software key store");
    fields.unsupported("access_graph", &Schema::Any, "remove it");
    fields.unsupported("hosted_plugins", &Schema::Any, "remove it");
    fields.unsupported("access_monitoring", &Schema::Any, "remove it");
    fields.unsupported("session_recording_config", &Schema::Any, "use session_recording");
    for (key, schema) in [
        ("routing_strategy", Schema::Text),
        ("license_file", Schema::Text),
        ("proxy_listener_mode", Schema::Text),
        ("tunnel_strategy", Schema::Any),
        ("client_idle_timeout_message", Schema::Text),
        ("message_of_the_day", Schema::Text),
        ("proxy_checks_host_keys", Schema::Flag),
        ("proxy_ping_interval", Schema::Duration),
        ("case_insensitive_routing", Schema::Flag),
        ("session_control_timeout", Schema::Duration),
        ("web_idle_timeout", Schema::Duration),
        ("load_all_cas", Schema::Flag),
        ("kubeconfig_file", Schema::Text),
        ("agent_tunnel_strategy", Schema::Any),
        ("ssh_dial_timeout", Schema::Duration),
    ] {
        fields.ineffective(key, &schema);
    }
}

fn tokens(fields: &Fields<'_>) -> Vec<StaticToken> {
    let mut tokens = Vec::new();
    // A list of one token with several roles ("proxy,node:secret") must not be split at the comma.
    for text in fields.lines("tokens") {
        match text.split_once(':') {
            Some((roles, value)) if !roles.is_empty() && !value.is_empty() => {
                let roles: Vec<_> = roles.split(',').map(|role| role.trim().to_owned()).collect();
                for role in &roles {
                    match SystemRole::parse(role) {
                        Some(SystemRole::Bot) => {
                            fields.refuse("tokens", "a bot's token names its bot", "use tctl bots add");
                        }
                        Some(known) if known.may_join() => {}
                        _ => fields.refuse("tokens", format!("no agent joins as \"{role}\""), "e.g. \"node:secret\""),
                    }
                }
                tokens.push(StaticToken { roles, value: value.to_owned() });
            }
            _ => fields.refuse("tokens", "a token must be written as \"role,role:token\"", "e.g. \"node:secret\""),
        }
    }
    tokens
}

pub(super) fn optional_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration::go::serialize(&duration.unwrap_or_default(), serializer)
}
