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
  ca_pin: sha256:abc
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
    assert_eq!(config.auth_service.keep_alive_interval.map(|d| d.as_secs()), Some(120));
    assert!(!config.effective().contains("secret"), "{}", config.effective());
}

#[test]
fn the_effective_configuration_reads_back_to_itself() {
    let config =
        read("auth_service: {cluster_name: example.com, authentication: {signature_algorithm_suite: legacy}}\n");
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
        ("auth_service: {cluster_name: 'a b'}\n", &["auth_service.cluster_name: must be 1 to 255 letters"]),
        ("auth_service: {tokens: [secret]}\n", &["auth_service.tokens: a token must be written"]),
        ("proxy_service: {enabled: yes}\n", &["proxy_service: not supported yet", "enabled: no"]),
        ("ssh_service: {labels: {a: b}}\n", &["ssh_service: not supported yet"]),
        ("app_service: {enabled: no, apps: [{nam: x}]}\n", &["app_service.apps[0].nam: unknown key", "\"name\""]),
        (
            "ssh_service: {enabled: no, x11: {display_offset: ten}}\n",
            &["ssh_service.x11.display_offset: must be a whole"],
        ),
        ("teleport: {storage: {type: etcd}}\n", &["storage type \"etcd\" is not supported yet", "\"sqlite\""]),
        ("teleport: {storage: {type: sqlit}}\n", &["must be one of sqlite", "did you mean \"sqlite\"?"]),
        ("teleport: {storage: {audit_events_uri: 'dynamodb://t'}}\n", &["\"dynamodb://t\" is not supported yet"]),
        ("auth_service: {authentication: {type: oidc}}\n", &["authentication.type", "not supported yet"]),
        ("auth_service: {authentication: {require_session_mfa: yes}}\n", &["require_session_mfa: not supported yet"]),
        ("auth_service: {enabled: no}\n", &["no service is enabled"]),
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
        "teleport: {cache: {enabled: no}, connection_limits: {max_connections: 5}}\nauth_service: {license_file: x}\n",
    );
    assert_eq!(
        config.warnings,
        [
            "teleport.yaml:1: teleport.connection_limits has no effect in this version",
            "teleport.yaml:1: teleport.cache has no effect: decisions are always made from the cache",
            "teleport.yaml:2: auth_service.license_file has no effect in this version",
        ]
    );
}
