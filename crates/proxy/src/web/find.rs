//! `/webapi/ping`, `/webapi/find`, `/webapi/motd`: what a client must know before it can sign in.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{Address, Proxy, body::Body, pages};

/// The version of the API that we speak.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The oldest clients that are known to work.
const OLDEST_CLIENT: &str = "17.0.0";

/// How long dialling an SSH server may take, in nanoseconds.
const DIAL_TIMEOUT: u64 = 30_000_000_000;

/// The answer to both.
pub(crate) fn find(proxy: &Proxy) -> Response<Body> {
    json(&description(proxy))
}

/// No message of the day.
pub(crate) fn motd() -> Response<Body> {
    json(&json!({ "Text": "" }))
}

fn json(value: &Value) -> Response<Body> {
    pages::answer(StatusCode::OK, "application/json", value.to_string())
}

fn description(proxy: &Proxy) -> Value {
    let config = &proxy.config;
    let first = |addresses: &[Address]| addresses.first().map(Address::to_string);
    let listen = config.listen_address.to_string();
    let mut ssh = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            ssh.insert(name.to_owned(), value.into());
        }
    };
    put("listen_addr", Some(listen.clone()));
    put("tunnel_listen_addr", Some(listen.clone()));
    put("web_listen_addr", Some(listen));
    put("public_addr", first(&config.public_addresses));
    put("ssh_public_addr", first(&config.ssh_public_addresses));
    put("ssh_tunnel_public_addr", first(&config.tunnel_public_addresses));
    ssh.insert("dial_timeout".to_owned(), DIAL_TIMEOUT.into());
    json!({
        "auth": {
            "type": "local",
            "allow_passwordless": false,
            "allow_headless": false,
            "local": { "name": "" },
            "private_key_policy": "none",
            "piv_slot": "",
            "device_trust": { "disabled": true, "auto_enroll": false },
            "has_motd": false,
            "default_session_ttl": "12h0m0s",
        },
        "proxy": {
            "kube": { "enabled": false },
            "ssh": ssh,
            "db": {},
            "tls_routing_enabled": true,
        },
        "server_version": VERSION,
        "min_client_version": OLDEST_CLIENT,
        "auto_update": {
            "tools_version": VERSION,
            "tools_auto_update": false,
            "agent_version": VERSION,
            "agent_auto_update": false,
            "agent_update_jitter_seconds": 0,
        },
        "cluster_name": config.cluster,
        "automatic_upgrades": false,
        "edition": "oss",
        "fips": false,
    })
}
