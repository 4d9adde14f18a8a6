//! What files mean, and what is said about those that mean nothing.

use super::*;

fn read(text: &str) -> Config {
    Config::from_text(text, "teleport.yaml").unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refusal(text: &str) -> String {
    match Config::from_text(text, "teleport.yaml") {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn nothing_at_all_starts_the_auth_service() {
    for config in [Config::embedded(), read(""), read("# only a comment\n"), read("version: v3\n")] {
        assert!(config.auth_service.enabled);
        assert_eq!(config.auth_service.listen_addr.to_string(), "0.0.0.0:3025");
        assert_eq!(config.teleport.data_dir, Path::new("/var/lib/teleport"));
        assert_eq!(config.teleport.storage.kind, StorageType::Sqlite);
        assert_eq!(config.teleport.storage.path, Path::new("/var/lib/teleport/backend"));
        assert_eq!(config.auth_service.authentication.default_session_ttl.as_secs(), 12 * 3600);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

#[test]
fn a_documented_file_is_read_in_full() {
    let config = read(
        "version: v3
teleport:
  nodename: auth-1
  data_dir: /srv/tessera
  ca_pin: sha256:7e12c17c20d9cb504bbcb3f0236be3f446861f1396dcbb44425fe28ec1c108f1
  connection_limits: {max_connections: 100}
  diag_addr: 127.0.0.1:3000
  pid_file: /run/tessera.pid
  log: {output: stdout, severity: DEBUG, format: {output: json, extra_fields: [level]}}
  storage:
    type: dir
    audit_events_uri: ['file:///var/log/audit', 'stdout://']
    sealing_keys: [/etc/tessera/seal.key]
auth_service:
  enabled: 'yes'
  cluster_name: example.com
  listen_addr: 127.0.0.1:4025
  public_addr: auth.example.com:443
  tokens: ['proxy,node:secret']
  session_recording: proxy-sync
  keep_alive_interval: 2m
  authentication:
    second_factors: [otp]
    locking_mode: strict
    default_session_ttl: 8h
    signature_algorithm_suite: fips-v1
proxy_service: {enabled: no, web_listen_addr: '0.0.0.0:443'}
ssh_service:
  enabled: off
  commands: [{name: arch, command: [uname, -m], period: 1h}]
app_service: {enabled: no, apps: [{name: grafana, uri: 'http://localhost:3000'}]}
",
    );
    assert_eq!(config.cluster_name(), "example.com");
    assert_eq!(config.auth_service.tokens[0].roles, ["proxy", "node"]);
    assert_eq!(config.auth_service.tokens[0].value, "secret");
    assert_eq!(config.auth_service.authentication.signature_algorithm_suite, Some(Suite::FipsV1));
    assert_eq!(config.teleport.storage.audit_events_uri.len(), 2);
    assert_eq!(config.teleport.log.severity, Severity::Debug);
    assert_eq!(config.teleport.log.format.extra_fields.len(), 1);
    assert_eq!(config.teleport.connection_limits.max_connections, Some(100));
    assert_eq!(config.auth_service.keep_alive_interval.map(|d| d.as_secs()), Some(120));
    assert!(!config.effective().contains("secret"), "{}", config.effective());
}

#[test]
fn the_effective_configuration_reads_back_to_itself() {
    let config = read(&format!(
        "auth_service: {{cluster_name: example.com, authentication: {{signature_algorithm_suite: legacy}}}}\n\
             proxy_service: {{public_addr: p.example.com, https_keypairs: [{{key_file: /k, cert_file: /c}}]}}\n\
             app_service: {{resources: [{{labels: {{env: [a, b]}}}}], denied_hosts: [10.0.0.0/8], apps: {APP}}}\n"
    ));
    assert!(config.proxy_service.enabled && config.app_service.apps.len() == 2);
    let again = read(&config.effective());
    assert_eq!(again.effective(), config.effective());
}

#[test]
fn a_typo_names_key_line_and_nearest_key() {
    assert_eq!(
        refusal("version: v3\nauth_service:\n  enabled: yes\n  cluster_nam: x\n"),
        "auth_service.cluster_nam: unknown key
  --> teleport.yaml:4:3
  |
4 |   cluster_nam: x
  |   ^^^^^^^^^^^ did you mean \"cluster_name\"?
"
        .replace("\n  |", "\n   |")
        .replace("\n4 |", "\n 4 |")
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in [
        ("auth_servce: {}\n", &["auth_servce: unknown key", ":1:1", "\"auth_service\""][..]),
        ("version: v4\n", &["version: must be one of v1, v2, v3", ":1:10"]),
        ("teleport:\n  log:\n    severity: inf\n", &["teleport.log.severity: must be one of", ":3:15", "\"info\""]),
        ("auth_service: {listen_addr: 'host:port'}\n", &["auth_service.listen_addr: must be host:port"]),
        ("auth_service: {keep_alive_interval: 5}\n", &["must be a duration", "found \"5\""]),
        ("auth_service: [1]\n", &["auth_service: must be a mapping, found a list", ":1:15"]),
        ("-----BEGIN CERTIFICATE-----\n", &["the file: must be a mapping, found a single value", ":1:1"]),
        ("app_service: {apps: [{name: x, uri: 'htp://x'}]}\n", &["apps[0].uri: must begin with http://", ":1:37"]),
        ("auth_service: {cluster_name: 'a b'}\n", &["auth_service.cluster_name: must be 1 to 255 letters"]),
        ("auth_service: {tokens: [secret]}\n", &["auth_service.tokens: a token must be written"]),
        ("proxy_service: {acme: {enabled: yes, uri: 'http://a.example/d'}}\n", &["acme.uri: must be the https:// URL"]),
        ("proxy_service: {acme: {enabled: yes, mail: a}}\n", &["proxy_service.acme.mail"]),
        ("proxy_service: {mysql_listen_addr: '0.0.0.0:3036'}\n", &["mysql_listen_addr: not supported yet"]),
        ("proxy_service: {https_keypairs: [{key_file: /k}]}\n", &["https_keypairs[0].cert_file: is missing"]),
        ("app_service: {apps: [{name: x}]}\n", &["app_service.apps[0].uri: ", "must not be empty"]),
        ("app_service: {apps: [{name: X_, uri: 'http://x'}]}\n", &["app_service.apps[0].name"]),
        ("app_service: {apps: [{name: x, uri: 'http://x', mcp: {command: a}}]}\n", &["mcp: not supported yet"]),
        ("app_service: {apps: [{name: x, uri: 'tcp://x'}]}\n", &["apps[0].uri: ", "needs a port", ":1:37"]),
        ("app_service: {apps: [{name: x, uri: 'mcp+stdio://'}]}\n", &["apps[0].uri: ", "mcp+stdio:// are not served"]),
        (
            "app_service:\n  apps:\n  - name: x\n    uri: http://x\n    rewrite: {headers: ['X-Forwarded-For: b']}\n",
            &["apps[0].rewrite: ", "only the cluster itself sets this header", ":5:"],
        ),
        (
            "app_service:\n  apps:\n  - {name: x, uri: 'http://x'}\n  - {name: x, uri: 'http://y'}\n",
            &["apps[1].name: \"x\" is there twice", ":4:12"],
        ),
        ("app_service: {debug_app: yes, apps: [{name: dumper, uri: 'http://x'}]}\n", &["apps[0].name: ", "debug_app"]),
        ("app_service: {resources: [{labels: {a: '^($'}}]}\n", &["resources[0].labels: ", "\"a\""]),
        ("app_service: {allowed_hosts: [x]}\n", &["app_service.allowed_hosts: "]),
        ("app_service: {resources: [{labels: {a: {}}}]}\n", &["resources[0].labels: the label \"a\""]),
        ("teleport: {join_params: {method: iam, token_name: x}}\n", &["joining by \"iam\" is not supported yet"]),
        ("teleport: {auth_server: 'a:1', proxy_server: 'b:2'}\n", &["proxy_server: stands beside auth_server"]),
        ("ssh_service: {labels: {a: b}}\n", &["ssh_service: not supported yet"]),
        ("app_service: {enabled: no, apps: [{nam: x}]}\n", &["app_service.apps[0].nam: unknown key", "\"name\""]),
        (
            "ssh_service: {enabled: no, x11: {display_offset: ten}}\n",
            &["ssh_service.x11.display_offset: must be a whole"],
        ),
        ("teleport: {storage: {type: etcd}}\n", &["storage type \"etcd\" is not supported yet", "\"sqlite\""]),
        ("teleport: {storage: {type: sqlit}}\n", &["must be one of sqlite", "did you mean \"sqlite\"?"]),
        ("teleport: {storage: {audit_events_uri: 'dynamodb://t'}}\n", &["\"dynamodb://t\" is not supported yet"]),
        ("teleport: {storage: {audit_retention_period: 90m}}\n", &["must be at least 24h, found 1h30m0s", "\"365d\""]),
        ("auth_service: {authentication: {type: oidc}}\n", &["authentication.type", "not supported yet"]),
        ("auth_service: {authentication: {require_session_mfa: yes}}\n", &["require_session_mfa: not supported yet"]),
        (
            "teleport: {log: {format: {extra_fields: [levle]}}}\n",
            &["\"levle\" is none of level, timestamp", "\"level\"?"],
        ),
        ("teleport: {ca_pin: 'sha256:abc'}\n", &["teleport.ca_pin: \"sha256:abc\" is no pin", "tctl status"]),
        ("teleport: {ca_pin: [/no/such/file]}\n", &["/no/such/file cannot be read"]),
        ("teleport: {connection_limits: {max_connections: 0}}\n", &["max_connections: must be at least 1"]),
        ("teleport: {connection_limits: {max_conections: 9}}\n", &["unknown key", "\"max_connections\"?"]),
        ("metrics_service: {enabled: yes}\n", &["metrics_service: not supported yet", "teleport.diag_addr"]),
        ("debug_service: {enabld: yes}\n", &["debug_service.enabld: unknown key", "\"enabled\"?"]),
        ("auth_service: {ca_key_params: {pkcs11: {module_path: /x}}}\n", &["ca_key_params: not supported yet"]),
    ] {
        let refused = refusal(text);
        for part in expected {
            assert!(refused.contains(part), "{text}: {part:?} is not in\n{refused}");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let refused = refusal("teleprt: {}\nauth_service:\n  enabld: yes\n  listen_adr: x\n");
    let lines: Vec<&str> = refused.lines().filter(|line| line.ends_with("unknown key")).collect();
    assert_eq!(
        lines,
        ["teleprt: unknown key", "auth_service.enabld: unknown key", "auth_service.listen_adr: unknown key"]
    );
}

#[test]
fn broken_yaml_duplicates_and_bombs_are_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    let steps: String = (0..200).map(|level| "  ".repeat(level) + "a:\n").collect();
    for text in ["auth_service: {", "version: v3\nversion: v3\n", "a: b: c", bomb, &steps] {
        let error = Config::from_text(text, "x.yaml").unwrap_err();
        assert!(matches!(error, Error::Yaml { .. }), "{text}: {error}");
    }
}

#[test]
fn what_changes_nothing_is_warned_about() {
    let config = read(
        "teleport: {cache: {enabled: no}, connection_limits: {max_connections: 5}}\n\
         auth_service: {license_file: x, disconnect_expired_cert: no}\n\
         app_service: {apps: [{name: a, uri: 'http://localhost', required_apps: [b], use_any_proxy_public_addr: yes}]}\n",
    );
    assert_eq!(
        config.warnings,
        [
            "teleport.yaml:1: teleport.cache has no effect: decisions are always made from the cache",
            "teleport.yaml:2: auth_service.disconnect_expired_cert has no effect: a connection to an application always \
             ends with its certificate",
            "teleport.yaml:2: auth_service.license_file has no effect in this version",
            "teleport.yaml:3: app_service.apps[0].required_apps is kept for the login page, which cannot sign anybody in \
             yet; programs need no help",
            "teleport.yaml:3: app_service.apps[0].use_any_proxy_public_addr has no effect: an application always has a name \
             below every public_addr",
        ]
    );
}

#[test]
fn a_limit_that_nobody_keeps_is_refused() {
    for limit in ["max_users: 250", "rates: [{period: 1m, average: 5, burst: 10}]"] {
        let refused = refusal(&format!("teleport: {{connection_limits: {{{limit}}}}}\n"));
        assert!(refused.contains("not supported yet") && refused.contains("max_connections"), "{refused}");
    }
}

/// A value that fits, as flow YAML, and all paths of keys in it.
fn sample(schema: &schema::Schema, path: &str, paths: &mut Vec<String>) -> String {
    use schema::Schema;
    match schema {
        Schema::Any => "{}".to_owned(),
        Schema::Text => "text".to_owned(),
        Schema::Flag => "no".to_owned(),
        Schema::Number => "7".to_owned(),
        Schema::Duration => "5m".to_owned(),
        Schema::Texts => "[one, two]".to_owned(),
        Schema::Free => "{of: theirs}".to_owned(),
        Schema::List(each) => format!("[{}]", sample(each, path, paths)),
        Schema::Map(keys) => {
            let entries = keys.iter().map(|(key, schema)| {
                let path = format!("{path}.{key}");
                let value = sample(schema, &path, paths);
                paths.push(path);
                format!("{key}: {value}")
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn every_part_that_is_not_built_is_known_key_by_key_and_refused_only_when_enabled() {
    for (section, schema) in sections::later() {
        let mut paths = Vec::new();
        let all = sample(schema, section, &mut paths);
        assert!(paths.contains(&format!("{section}.enabled")), "{section} cannot be switched off");
        read(&format!("version: v3\n{section}: {all}\n"));
        let refused = refusal(&format!("version: v3\n{section}: {}\n", all.replacen("enabled: no", "enabled: yes", 1)));
        assert!(refused.starts_with(&format!("{section}: not supported yet\n  --> teleport.yaml:2:")), "{refused}");
        for path in &paths {
            let key = path.rsplit('.').next().unwrap();
            // The first place where the key stands; the text between must not be part of a longer key.
            let broken = [("{", ":"), (" ", ":")].into_iter().find_map(|(before, after)| {
                let (from, to) = (format!("{before}{key}{after}"), format!("{before}{key}x{after}"));
                all.contains(&from).then(|| all.replacen(&from, &to, 1))
            });
            let refused = refusal(&format!("version: v3\n{section}: {}\n", broken.unwrap()));
            assert!(refused.contains(&format!("{key}x: unknown key")), "{path}: {refused}");
            assert!(refused.contains("teleport.yaml:2:"), "{path}: {refused}");
            assert!(refused.contains("did you mean"), "{path}: {refused}");
        }
    }
}

/// Each documented key of what is built, with a value that may stand there.
const DOCUMENTED: &[(&str, &str)] = &[
    ("version", "v3"),
    ("teleport.nodename", "one"),
    ("teleport.data_dir", "/var/lib/teleport"),
    ("teleport.pid_file", "/run/teleport.pid"),
    ("teleport.auth_token", "token"),
    ("teleport.join_params", "{method: token, token_name: t}"),
    ("teleport.ca_pin", "''"),
    ("teleport.advertise_ip", "10.1.0.5"),
    ("teleport.diag_addr", "127.0.0.1:3000"),
    ("teleport.auth_server", "auth.example.com:3025"),
    ("teleport.auth_servers", "[auth.example.com:3025]"),
    ("teleport.proxy_server", "proxy.example.com:443"),
    ("teleport.relay_server", "''"),
    ("teleport.cache", "{enabled: yes, max_backoff: 12m}"),
    ("teleport.shutdown_delay", "30s"),
    ("teleport.connection_limits.max_connections", "1000"),
    ("teleport.connection_limits.max_users", "0"),
    ("teleport.auth_connection_config", "{upper_limit_between_retries: 90s, initial_connection_delay: 9s}"),
    ("teleport.log.output", "stderr"),
    ("teleport.log.severity", "INFO"),
    ("teleport.log.format.output", "json"),
    ("teleport.log.format.extra_fields", "[level, timestamp, component, caller]"),
    ("teleport.ciphers", "[]"),
    ("teleport.kex_algos", "[]"),
    ("teleport.mac_algos", "[]"),
    ("teleport.ciphersuites", "[]"),
    ("teleport.storage.type", "dir"),
    ("teleport.storage.path", "/var/lib/teleport/backend"),
    ("teleport.storage.sync", "FULL"),
    ("teleport.storage.journal", "WAL"),
    ("teleport.storage.audit_events_uri", "['file:///var/lib/teleport/audit', 'stdout://']"),
    ("teleport.storage.audit_sessions_uri", "''"),
    ("teleport.storage.audit_retention_period", "365d"),
    ("auth_service.enabled", "yes"),
    ("auth_service.cluster_name", "example.com"),
    ("auth_service.listen_addr", "0.0.0.0:3025"),
    ("auth_service.public_addr", "[auth.example.com:3025]"),
    ("auth_service.proxy_protocol", "off"),
    ("auth_service.tokens", "['proxy,node:secret']"),
    ("auth_service.session_recording", "node-sync"),
    ("auth_service.client_idle_timeout", "15m"),
    ("auth_service.client_idle_timeout_message", "bye"),
    ("auth_service.disconnect_expired_cert", "yes"),
    ("auth_service.keep_alive_interval", "5m"),
    ("auth_service.keep_alive_count_max", "3"),
    ("auth_service.routing_strategy", "most_recent"),
    ("auth_service.license_file", "/var/lib/teleport/license.pem"),
    ("auth_service.message_of_the_day", "hello"),
    ("auth_service.proxy_listener_mode", "multiplex"),
    ("auth_service.session_control_timeout", "2m"),
    ("auth_service.web_idle_timeout", "10m"),
    ("auth_service.ca_key_params", "{}"),
    ("auth_service.authentication.type", "local"),
    ("auth_service.authentication.local_auth", "yes"),
    ("auth_service.authentication.second_factor", "on"),
    ("auth_service.authentication.second_factors", "[otp, webauthn, sso]"),
    (
        "auth_service.authentication.webauthn",
        "{rp_id: example.com, attestation_allowed_cas: [], attestation_denied_cas: []}",
    ),
    ("auth_service.authentication.passwordless", "yes"),
    ("auth_service.authentication.headless", "yes"),
    ("auth_service.authentication.connector_name", "passwordless"),
    ("auth_service.authentication.require_session_mfa", "no"),
    ("auth_service.authentication.locking_mode", "best_effort"),
    ("auth_service.authentication.device_trust", "{mode: off}"),
    ("auth_service.authentication.default_session_ttl", "12h"),
    ("auth_service.authentication.signature_algorithm_suite", "balanced-v1"),
    ("debug_service.enabled", "yes"),
    ("proxy_service.enabled", "yes"),
    ("proxy_service.web_listen_addr", "0.0.0.0:443"),
    ("proxy_service.public_addr", "[proxy.example.com:443, other.example.com]"),
    ("proxy_service.listen_addr", "0.0.0.0:3023"),
    ("proxy_service.tunnel_listen_addr", "0.0.0.0:3024"),
    ("proxy_service.ssh_public_addr", "proxy.example.com:3023"),
    ("proxy_service.tunnel_public_addr", "proxy.example.com:3024"),
    ("proxy_service.peer_public_addr", "one.example.com:443"),
    ("proxy_service.peer_listen_addr", "''"),
    ("proxy_service.kube_listen_addr", "''"),
    ("proxy_service.kube_public_addr", "[]"),
    ("proxy_service.mysql_listen_addr", "''"),
    ("proxy_service.mysql_public_addr", "[]"),
    ("proxy_service.postgres_listen_addr", "''"),
    ("proxy_service.postgres_public_addr", "[]"),
    ("proxy_service.mongo_listen_addr", "''"),
    ("proxy_service.mongo_public_addr", "[]"),
    ("proxy_service.https_keypairs", "[{key_file: /etc/key.pem, cert_file: /etc/cert.pem}]"),
    ("proxy_service.https_keypairs_reload_interval", "1h"),
    ("proxy_service.acme", "{enabled: no, email: user@example.com}"),
    ("proxy_service.trust_x_forwarded_for", "yes"),
    ("proxy_service.proxy_protocol", "on"),
    ("proxy_service.ui", "{scrollback_lines: 1000}"),
    ("app_service.enabled", "yes"),
    ("app_service.debug_app", "yes"),
    ("app_service.resources", "[{labels: {env: [dev, test], '*': '*'}}]"),
    ("app_service.allowed_hosts", "[10.0.0.0/8]"),
    ("app_service.denied_hosts", "[169.254.169.254/32]"),
    ("app_service.apps", APP),
];

/// An application with everything that is built.
const APP: &str = "[{name: grafana, description: Charts, uri: 'https://localhost:3000', public_addr: g.example.com, \
                   labels: {env: dev}, commands: [{name: arch, command: [uname, -m], period: 1h}], \
                   insecure_skip_verify: yes, required_apps: [other], use_any_proxy_public_addr: yes, \
                   rewrite: {redirect: [localhost], headers: ['X-User: {{external.logins}}', 'Host: a:1'], \
                   jwt_claims: roles}, cors: {allowed_origins: ['https://a.example.com'], allowed_methods: [GET], \
                   allowed_headers: [x-a], exposed_headers: [x-b], allow_credentials: yes, max_age: 60}}, \
                   {name: db, uri: 'tcp://localhost', tcp_ports: [{port: 5432}, {port: 6000, end_port: 6010}]}]";

/// A document with one value at the end of a path.
fn nested(path: &str, value: &str) -> String {
    let levels: Vec<&str> = path.split('.').collect();
    let indented = levels.iter().enumerate().map(|(depth, key)| format!("{}{key}:", "  ".repeat(depth)));
    format!("{} {value}\n", indented.collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_documented_key_is_known_and_a_slip_in_it_is_not() {
    for (path, value) in DOCUMENTED {
        // Whoever names another cluster needs a service that joins it.
        let service = if path.contains("_server") { "app_service: {debug_app: yes}\n" } else { "" };
        read(&(nested(path, value) + service));
        let refused = refusal(&nested(&format!("{path}x"), value));
        let (line, key) = (path.split('.').count(), path.rsplit('.').next().unwrap());
        assert!(refused.contains(&format!("{path}x: unknown key")), "{refused}");
        assert!(refused.contains(&format!("teleport.yaml:{line}:")), "{refused}");
        assert!(refused.contains(&format!("did you mean \"{key}")), "{refused}");
    }
}

/// What `teleport configure` writes for everything that nobody has asked for.
#[test]
fn an_empty_text_says_nothing() {
    for (path, _) in DOCUMENTED.iter().filter(|(_, value)| !value.starts_with('{')) {
        let section = match path.split_once('.') {
            Some((section, _)) if section.ends_with("_service") => format!("{section}: {{enabled: yes}}\n"),
            _ => String::new(),
        };
        let empty = nested(path, "''");
        let (found, silent) = (read(&empty), read(&section));
        // A section that is there runs its service; what it says is another matter.
        let words = |config: &Config| config.effective().replace("enabled: false", "enabled: true");
        assert_eq!(words(&found), words(&silent), "{path}");
        assert_eq!(found.warnings, Vec::<String>::new(), "{path}");
    }
}

#[test]
fn none_of_the_extra_fields_means_all_of_them() {
    for text in ["", "teleport: {log: {format: {extra_fields: []}}}\n"] {
        assert_eq!(read(text).teleport.log.format.extra_fields.len(), 4, "{text}");
    }
    let config = read("teleport: {log: {format: {extra_fields: [caller, level, caller]}}}\n");
    assert!(config.effective().contains("caller") && !config.effective().contains("timestamp"));
}

#[test]
fn who_joins_another_cluster_has_no_auth_service_unless_he_says_so() {
    for (text, expected) in [
        ("", &["auth"][..]),
        ("proxy_service: {}\n", &["auth"]),
        ("proxy_service: {web_listen_addr: '0.0.0.0:443'}\n", &["auth", "proxy"]),
        ("teleport: {proxy_server: 'p:443'}\napp_service: {enabled: yes}\n", &["app"]),
        ("teleport: {auth_server: 'a:3025'}\nauth_service: {enabled: yes}\napp_service: {enabled: no}\n", &["auth"]),
    ] {
        assert_eq!(read(text).services().collect::<Vec<_>>(), expected, "{text}");
    }
    // Flags may name services that the file does not.
    for text in ["teleport: {auth_server: 'a:3025'}\n", "auth_service: {enabled: no}\n"] {
        assert!(read(text).check().unwrap_err().message.contains("no service is enabled"), "{text}");
    }
}

#[test]
fn a_pin_may_stand_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pin = format!("sha256:{}", "ab".repeat(32));
    std::fs::write(file.path(), format!("{pin}\n")).unwrap();
    assert_eq!(read(&format!("teleport: {{ca_pin: [{}]}}\n", file.path().display())).teleport.ca_pin, [pin]);
}

#[test]
fn the_audit_log_is_kept_for_ever_unless_somebody_says_how_long() {
    let kept = |storage: &str| {
        let config = read(&format!("version: v3\nteleport:\n  storage: {{{storage}}}\n"));
        config.teleport.storage.audit_retention_period.map(|kept| kept.as_secs() / 3600)
    };
    for (storage, hours) in [
        ("type: sqlite", None),
        ("audit_retention_period: never", None),
        ("audit_retention_period: 24h", Some(24)),
        ("audit_retention_period: 1y", Some(8760)),
    ] {
        assert_eq!(kept(storage), hours, "{storage}");
    }
}
