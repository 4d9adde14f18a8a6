//! `/webapi/ping`, `/webapi/find`, `/webapi/motd`: what a client must know before it can sign in.

use domain::{
    form::duration,
    resources::auth_preference::{AuthPreference, AuthPreferenceSpec, DEFAULT_SESSION_TTL, SecondFactor},
};
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

/// What everybody is told before signing in.
pub(crate) fn motd(proxy: &Proxy) -> Response<Body> {
    json(&json!({ "Text": proxy.view.preference().spec.message_of_the_day }))
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
    let separate =
        |address: &Option<Address>| Some(address.as_ref().map_or_else(|| listen.clone(), Address::to_string));
    put("listen_addr", separate(&config.ssh_listen_address));
    put("tunnel_listen_addr", separate(&config.tunnel_listen_address));
    put("web_listen_addr", Some(listen.clone()));
    put("public_addr", first(&config.public_addresses));
    put("ssh_public_addr", first(&config.ssh_public_addresses));
    put("ssh_tunnel_public_addr", first(&config.tunnel_public_addresses));
    ssh.insert("dial_timeout".to_owned(), DIAL_TIMEOUT.into());
    json!({
        "auth": sign_in(&proxy.view.preference()),
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
        // There is no validated module in this program, whatever the cluster's suite.
        "fips": false,
    })
}

/// How one proves who one is, as the cluster wants it.
fn sign_in(preference: &AuthPreference) -> Value {
    let spec = &preference.spec;
    let mut auth = Map::new();
    let mut put = |name: &str, value: Value| auth.insert(name.to_owned(), value);
    put("type", spec.connector_type.as_str().into());
    let factor = second_factor(spec);
    put("second_factor", factor.into());
    if factor != "off" {
        let preferred = if matches!(factor, "webauthn" | "on" | "optional") { "webauthn" } else { factor };
        put("preferred_local_mfa", preferred.into());
    }
    // Not before there is somebody to sign in.
    put("allow_passwordless", false.into());
    put("allow_headless", false.into());
    put("local", json!({ "name": if spec.connector_type == "local" { &spec.connector_name } else { "" } }));
    if let Some(webauthn) = &spec.webauthn {
        put("webauthn", json!({ "rp_id": webauthn.rp_id }));
    }
    if let Some(u2f) = &spec.u2f {
        put("u2f", json!({ "app_id": u2f.app_id }));
    }
    put("private_key_policy", "none".into());
    put("piv_slot", spec.hardware_key.as_ref().map_or("", |key| key.piv_slot.as_str()).into());
    let trust = spec.device_trust.as_ref();
    let is_off = trust.is_none_or(|trust| matches!(trust.mode.as_str(), "" | "off"));
    put("device_trust", json!({ "disabled": is_off, "auto_enroll": trust.is_some_and(|trust| trust.auto_enroll) }));
    put("has_motd", (!spec.message_of_the_day.is_empty()).into());
    let ttl = if spec.default_session_ttl.is_zero() { DEFAULT_SESSION_TTL } else { spec.default_session_ttl };
    put("default_session_ttl", duration::format(ttl).into());
    put("signature_algorithm_suite", spec.signature_algorithm_suite.effective().as_str().into());
    Value::Object(auth)
}

/// The old word for the second factors.
fn second_factor(spec: &AuthPreferenceSpec) -> &str {
    let has = |factor| spec.second_factors.contains(&factor);
    match (has(SecondFactor::Otp), has(SecondFactor::Webauthn)) {
        (true, true) => "on",
        (true, false) => "otp",
        (false, true) => "webauthn",
        (false, false) if spec.second_factor.is_empty() => "off",
        (false, false) => &spec.second_factor,
    }
}
