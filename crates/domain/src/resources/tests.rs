//! Document in, value, document out: what the official types print after setting defaults.

use serde_json::{Value, json};

use crate::{AnyResource, document::read_valid_documents, resources::*};

/// Reads a document, fills in defaults, and gives back what is written.
fn printed(document: &str) -> Value {
    let read = read_valid_documents(document, "test").unwrap_or_else(|why| panic!("{why}"));
    let [resource] = read.as_slice() else { panic!("{} documents", read.len()) };
    let json = serde_json::to_value(resource).unwrap();
    let again = read_valid_documents(&json.to_string(), "again").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(again.as_slice(), std::slice::from_ref(resource), "the document does not survive being written");
    json
}

fn refused(document: &str) -> String {
    read_valid_documents(document, "test").expect_err("must be refused").summary()
}

#[test]
fn a_minimal_role_is_printed_canonically() {
    let role = printed(
        "{kind: role, version: v7, metadata: {name: ci, namespace: default}, spec: {allow: {node_labels: {env: dev, a: [x, y]}}}}",
    );
    assert_eq!(
        role,
        json!({
            "kind": "role", "version": "v7", "metadata": {"name": "ci"},
            "spec": {
                "options": {
                    "forward_agent": false, "max_session_ttl": "30h0m0s", "cert_format": "standard",
                    "enhanced_recording": ["command", "network"], "record_session": {"desktop": true, "default": "best_effort"},
                    "desktop_clipboard": true, "desktop_directory_sharing": true, "pin_source_ip": false, "ssh_file_copy": true,
                    "idp": {"saml": {"enabled": true}}, "create_desktop_user": false, "create_db_user": false,
                },
                "allow": {"node_labels": {"a": ["x", "y"], "env": "dev"}},
                "deny": {},
            },
        })
    );
}

#[test]
fn a_version_says_what_a_role_means_where_it_is_silent() {
    let allow = |version: &str, allow: &str| {
        printed(&format!("{{kind: role, version: {version}, metadata: {{name: a}}, spec: {{allow: {allow}}}}}"))["spec"]
            ["allow"]
            .clone()
    };
    assert_eq!(allow("v3", "{logins: [root]}")["node_labels"], json!({"*": "*"}));
    assert_eq!(allow("v3", "{}")["app_labels"], json!({"*": "*"}));
    assert!(allow("v3", "{}").get("node_labels").is_none());
    for version in ["v4", "v5", "v6", "v7", "v8"] {
        assert_eq!(allow(version, "{logins: [root]}"), json!({"logins": ["root"]}), "{version}");
    }
    let kubernetes =
        |version: &str| allow(version, "{kubernetes_labels: {env: dev}}").get("kubernetes_resources").cloned();
    let all = |kind: &str| json!({"kind": kind, "namespace": "*", "name": "*", "verbs": ["*"]});
    assert_eq!(kubernetes("v5"), Some(json!([all("pod")])));
    assert_eq!(kubernetes("v6"), None);
    assert_eq!(kubernetes("v7"), Some(json!([all("*")])));
    assert_eq!(kubernetes("v8").unwrap()[0]["api_group"], "*");
    let options = printed("{kind: role, version: v8, metadata: {name: a}, spec: {}}")["spec"]["options"].clone();
    assert!(options.get("idp").is_none());
}

#[test]
fn words_of_options_are_read_in_every_spelling() {
    let option = |text: &str, key: &str| {
        printed(&format!("{{kind: role, version: v7, metadata: {{name: a}}, spec: {{options: {{{text}}}}}}}"))["spec"]["options"][key].clone()
    };
    for (text, key, written) in [
        ("require_session_mfa: yes", "require_session_mfa", json!(true)),
        ("require_session_mfa: true", "require_session_mfa", json!(true)),
        ("require_session_mfa: 3", "require_session_mfa", json!("hardware_key_touch")),
        ("require_session_mfa: off", "require_session_mfa", Value::Null),
        ("create_host_user_mode: drop", "create_host_user_mode", json!("insecure-drop")),
        ("create_host_user_mode: 3", "create_host_user_mode", json!("keep")),
        ("create_host_user_mode: false", "create_host_user_mode", json!("off")),
        ("create_db_user_mode: best_effort_drop", "create_db_user_mode", json!("best_effort_drop")),
        ("forward_agent: \"yes\"", "forward_agent", json!(true)),
        ("desktop_clipboard: no", "desktop_clipboard", json!(false)),
        ("max_session_ttl: 7d", "max_session_ttl", json!("168h0m0s")),
        ("client_idle_timeout: never", "client_idle_timeout", Value::Null),
        (
            "cert_extensions: [{type: 0, mode: extension, name: a, value: b}]",
            "cert_extensions",
            json!([{"type": "ssh", "mode": "extension", "name": "a", "value": "b"}]),
        ),
    ] {
        assert_eq!(option(text, key), written, "{text}");
    }
}

#[test]
fn roles_that_make_no_sense_are_refused() {
    let role = |version: &str, spec: &str| {
        refused(&format!("{{kind: role, version: {version}, metadata: {{name: a}}, spec: {spec}}}"))
    };
    for (version, spec, message) in [
        ("v7", "{options: {lock: maybe}}", "spec.options.lock: must be one of strict, best_effort"),
        ("v7", "{options: {max_sessions: -1}}", "must not be negative"),
        ("v7", "{deny: {rules: [{resources: [user], verbs: [lsit]}]}}", "spec.deny.rules[0].verbs: must be among"),
        (
            "v7",
            "{allow: {rules: [{resources: [user], verbs: [list], where: \"equals(\"}]}}",
            "spec.allow.rules[0].where",
        ),
        ("v7", "{allow: {node_labels: {\"*\": a}}}", "can only have the value"),
        ("v7", "{allow: {node_labels: {a: \"^($\"}}}", "spec.allow.node_labels"),
        ("v7", "{allow: {logins: [\"{{internal.logins\"]}}", "spec.allow.logins"),
        ("v7", "{allow: {app_labels_expression: \"labels[\"}}", "spec.allow.app_labels_expression"),
        ("v6", "{allow: {kubernetes_resources: [{kind: deployment, namespace: a, name: b}]}}", "must be \"pod\""),
        (
            "v7",
            "{allow: {kubernetes_resources: [{kind: pods, namespace: a, name: b}]}}",
            "kubernetes_resources[0].kind",
        ),
        (
            "v7",
            "{allow: {kubernetes_resources: [{kind: pod, namespace: a, name: b, api_group: apps}]}}",
            "needs a role of version v8",
        ),
        (
            "v8",
            "{allow: {kubernetes_resources: [{kind: deployment, api_group: apps, namespace: a, name: b}]}}",
            "use the plural name \"deployments\"",
        ),
        (
            "v8",
            "{allow: {kubernetes_resources: [{kind: deployments, namespace: a, name: b}]}}",
            "api_group: must be set",
        ),
    ] {
        let shown = role(version, spec);
        assert!(shown.contains(message), "{spec}: {shown}");
    }
    assert!(refused("{kind: role, version: v7, metadata: {name: Proxy}, spec: {}}").contains("system role"));
}

#[test]
fn a_user_prints_its_zero_times() {
    let user = printed(
        "{kind: user, version: v2, metadata: {name: alice}, spec: {roles: [access], traits: {logins: [root]}}}",
    );
    let zero = "0001-01-01T00:00:00Z";
    assert_eq!(
        user,
        json!({
            "kind": "user", "version": "v2", "metadata": {"name": "alice"},
            "spec": {
                "roles": ["access"], "traits": {"logins": ["root"]},
                "status": {"is_locked": false, "locked_time": zero, "lock_expires": zero},
                "expires": zero, "created_by": {"time": zero, "user": {"name": ""}},
            },
            "status": {},
        })
    );
}

#[test]
fn a_bot_is_printed_as_the_newer_resources_are() {
    let bot = printed(
        "{kind: bot, version: v1, metadata: {name: ci}, spec: {roles: [access], traits: [{name: logins, values: [root]}], max_session_ttl: 12h}}",
    );
    assert_eq!(
        bot["spec"],
        json!({"roles": ["access"], "traits": [{"name": "logins", "values": ["root"]}], "max_session_ttl": "43200s"})
    );
    assert_eq!(bot["status"], json!({"user_name": "bot-ci", "role_name": "bot-ci"}));
    assert!(
        refused("{kind: bot, version: v1, metadata: {name: ci}, spec: {roles: ['']}}").contains("must not be empty")
    );
}

#[test]
fn a_bot_has_a_user_and_a_role_of_its_own() {
    let read = read_valid_documents("{kind: bot, version: v1, metadata: {name: ci}, spec: {roles: [access]}}", "test")
        .unwrap();
    let [AnyResource::Bot(bot)] = read.as_slice() else { panic!() };
    let (user, role) = (bot.derived_user(), bot.derived_role());
    user.validate().unwrap();
    role.validate().unwrap();
    assert_eq!((user.name(), user.bot_name()), ("bot-ci", Some("ci")));
    assert_eq!(user.spec.roles, ["bot-ci"]);
    assert_eq!(user.metadata.label(crate::metadata::BOT_GENERATION), "0");
    let json = serde_json::to_value(&role).unwrap();
    assert_eq!(json["spec"]["options"]["max_session_ttl"], "12h0m0s");
    assert_eq!(
        json["spec"]["allow"],
        json!({"rules": [{"resources": ["cert_authority"], "verbs": ["readnosecrets"]}], "impersonate": {"roles": ["access"]}})
    );
}

#[test]
fn cluster_configuration_is_printed_canonically() {
    let spec = |kind: &str| {
        printed(&format!("{{kind: {kind}, version: v2, metadata: {{name: x}}, spec: {{}}}}"))["spec"].clone()
    };
    assert_eq!(
        spec("cluster_networking_config"),
        json!({
            "client_idle_timeout": "0s", "keep_alive_interval": "5m0s", "keep_alive_count_max": 3, "session_control_timeout": "0s",
            "idle_timeout_message": "", "web_idle_timeout": "0s", "tunnel_strategy": {"type": "agent_mesh"},
        })
    );
    assert_eq!(spec("session_recording_config"), json!({"mode": "node", "proxy_checks_host_keys": true}));
    assert_eq!(
        spec("cluster_auth_preference"),
        json!({
            "type": "local", "second_factors": ["otp", "webauthn"], "disconnect_expired_cert": false, "allow_local_auth": true,
            "locking_mode": "best_effort", "allow_passwordless": false, "allow_headless": false, "idp": {"saml": {"enabled": true}},
            "default_session_ttl": "12h0m0s", "okta": {}, "signature_algorithm_suite": "balanced-v1",
        })
    );
    assert_eq!(AuthPreference::standard().metadata.labels["teleport.dev/origin"], "defaults");
}

#[test]
fn locks_authorities_and_applications_survive() {
    let lock = printed("{kind: lock, version: v2, metadata: {name: 0197}, spec: {target: {bot_instance_id: abc}, message: why, expires: 2030-01-01T00:00:00Z}}".replace("0197", "'0197'").as_str());
    assert_eq!(lock["spec"]["target"], json!({"bot_instance_id": "abc"}));
    assert!(
        refused("{kind: lock, version: v2, metadata: {name: a}, spec: {target: {}}}").contains("at least one field")
    );
    let ca = printed(
        "{kind: cert_authority, sub_kind: host, version: v2, metadata: {name: example.com}, spec: {type: host, cluster_name: example.com, active_keys: {tls: [{cert: YQ==, key: Yg==}]}}}",
    );
    assert_eq!(ca["spec"]["active_keys"], json!({"tls": [{"cert": "YQ==", "key": "Yg=="}]}));
    assert_eq!(ca["spec"]["additional_trusted_keys"], json!({}));
    let app = printed(
        "{kind: app, version: v3, metadata: {name: grafana}, spec: {uri: 'http://localhost:3000', rewrite: {headers: [{name: a, value: b}]}}}",
    );
    assert_eq!(app["spec"]["insecure_skip_verify"], false);
    for name in ["Grafana", "-a", "a_b", "a.b"] {
        assert!(
            refused(&format!("{{kind: app, version: v3, metadata: {{name: '{name}'}}, spec: {{uri: 'http://x'}}}}"))
                .contains("the app name"),
            "{name}"
        );
    }
}

#[test]
fn secrets_are_not_debugged() {
    let mut ca = CertAuthority::empty(crate::ca::CaType::Host, "example.com");
    let key = crate::form::SecretBytes::new(b"very secret".to_vec());
    ca.spec.active_keys.tls.push(cert_authority::TlsKeyPair { key, ..Default::default() });
    let shown = format!("{ca:?}");
    assert!(shown.contains("(secret)") && !shown.contains("very"), "{shown}");
    assert!(ca.without_secrets().spec.active_keys.tls[0].key.is_empty());
}

#[test]
fn a_lock_says_whom_it_hits() {
    let mut lock = Lock::default();
    lock.spec.target.user = "x".into();
    lock.spec.message = "gone".into();
    assert_eq!(lock.refusal(), "lock targeting User:\"x\" is in force: gone");
    lock.spec.target.join_token = "0123456789abcdef".into();
    assert!(!lock.refusal().contains("0123"), "who is hit as a user reads a token: {}", lock.refusal());
}

#[test]
fn a_role_of_thousands_of_regular_expressions_is_compiled() {
    let mut role = Role::new("many", Default::default());
    role.spec.allow.logins = (0..65).map(|number| format!("^a{number}$")).collect();
    role.spec.deny.logins.clone_from(&role.spec.allow.logins);
    let error = role.validate().unwrap_err();
    assert!(error.message.contains("130 regular expressions"), "{}", error.message);
    role.spec.deny.logins.truncate(63);
    role.validate().unwrap();
}

#[test]
fn the_public_address_of_an_application_is_a_name_and_perhaps_a_port() {
    let document = |address: &str| {
        format!(
            "{{kind: app, version: v3, metadata: {{name: a}}, spec: {{uri: 'http://localhost:1', public_addr: '{address}'}}}}"
        )
    };
    for good in ["a.example.com", "a.example.com:443", "a.example.com:65535"] {
        printed(&document(good));
    }
    for bad in
        ["a.example.com:", "a.example.com:0", "a.example.com:65536", "a.example.com:+1", "a.example.com:1/x", "a:1:2"]
    {
        assert!(refused(&document(bad)).contains("spec.public_addr"), "{bad}");
    }
}
