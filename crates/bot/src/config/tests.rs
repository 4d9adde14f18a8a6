use super::*;

const GOOD: &str = "version: v2
auth_server: auth.example:3025
certificate_ttl: 30m
renewal_interval: 10m
onboarding:
  join_method: token
  token: 0123
  ca_pins: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]
storage: {type: memory}
outputs:
  - type: identity
    destination:
      type: directory
      path: /opt/machine-id
      symlinks: secure
      readers: [{user: app}, {group: 33}]
services:
  - type: identity
    name: second
    roles: [a]
    destination: {type: memory}
";

#[test]
fn a_file_is_read_with_both_lists_and_written_back_the_same() {
    let config = Config::parse(GOOD, "tbot.yaml").expect("good");
    assert_eq!(config.ttl(), Duration::from_secs(1800));
    assert_eq!(config.names(), ["second", "identity-output-2"]);
    assert_eq!(config.onboarding.token.as_ref().map(|token| token.expose().as_str()), Some("0123"));
    let Some(Destination::Directory(directory)) = &config.services[1].destination else { panic!("a directory") };
    assert_eq!(directory.readers, [Reader::User("app".into()), Reader::Group("33".into())]);
    assert_eq!(directory.symlinks, Symlinks::Secure);
    config.check().expect("consistent");
    config.check_supported().expect("supported");
    let again = Config::parse(&config.to_yaml(), "written").expect("what we write, we read");
    assert_eq!(again.to_yaml(), config.to_yaml());
}

#[test]
fn each_mistake_has_its_line_and_a_way_out() {
    let cases = [
        ("version: v2\nauth_sever: a\n", Some(2), "did you mean \"auth_server\""),
        ("version: v3\n", Some(1), "version: v2"),
        ("auth_server: a\n", Some(1), "version"),
        ("version: v2\nauth_server: [a]\n", Some(2), "must be text, found a list"),
        ("version: v2\nrenewal_interval: soon\n", Some(2), "duration"),
        ("version: v2\nonboarding:\n  join_method: githb\n", Some(3), "did you mean \"github\""),
        ("version: v2\nonboarding:\n  join_method: ec2\n", Some(3), "agents"),
        ("version: v2\nonboarding:\n  ca_pins: [abc]\n", Some(3), "sha256:"),
        ("version: v2\noutputs:\n- type: identiy\n", Some(3), "did you mean \"identity\""),
        ("version: v2\noutputs:\n- type: identity\n", Some(3), "destination: is required"),
        ("version: v2\noutputs:\n- type: identity\n  destnation: {}\n", Some(4), "did you mean \"destination\""),
        (
            "version: v2\noutputs:\n- type: application\n  destination: {type: memory}\n",
            Some(3),
            "app_name: is required",
        ),
        ("version: v2\noutputs:\n- type: identity\n  destination: {type: memory, path: x}\n", Some(4), "unknown key"),
        ("version: v2\nservices:\n- type: application-proxy\n  listen: 80\n", Some(4), "tcp://"),
        ("version: v2\nservices:\n- type: application-proxy\n  listen: tcp://127.0.0.1\n", Some(4), "no port"),
        ("version: v2\nproxy_server: proxy.example:30800000\n", Some(2), "1 to 65535"),
        ("version: v2\nauth_server: a\nproxy_server: b\n", Some(3), "exclude"),
        (
            "version: v2\nservices:\n- {type: application-proxy, listen: 'tcp://127.0.0.1:80'}\n\
             - {type: application-tunnel, app_name: a, listen: 'tcp://127.0.0.1:80'}\n",
            Some(4),
            "application-tunnel-service-2 and application-proxy-service-1 both listen",
        ),
        (
            "version: v2\nstorage: {type: directory, path: /a}\noutputs:\n\
             - {type: identity, destination: {type: directory, path: /a}}\n",
            Some(4),
            "identity-output-1 and storage share",
        ),
        (
            "version: v2\noutputs:\n- {type: identity, name: x, destination: {type: memory}}\n\
             - {type: identity, name: x, destination: {type: memory}}\n",
            Some(4),
            "two services",
        ),
        (
            "version: v2\noutputs:\n- {type: identity, name: identity, destination: {type: memory}}\n",
            Some(3),
            "\"identity\" is taken by tbot itself",
        ),
        ("version: v2\nstorage:\n  type: directory\n  path: /x\n  acls: never\n", Some(5), "off, try or required"),
        ("version: v2\nversion: v2\n", Some(2), "duplicate"),
        ("version: [\n", None, ""),
    ];
    for (text, line, words) in cases {
        let error = Config::parse(text, "t.yaml").expect_err(text);
        assert!(error.to_string().contains(words), "{text}\n{error}");
        assert!(line.is_none() || error.line() == line, "{text}\n{error}");
    }
}

#[test]
fn a_secret_on_the_wrong_line_is_not_shown() {
    for (lines, shown) in [
        ("onboarding:\n  token: [s3cret]", "  token: …"),
        ("onboarding:\n  tokn: s3cret", "  tokn: …"),
        ("onboarding:\n  \"tokn\": s3cret", "  \"tokn\": …"),
        ("onboarding: {join_method: ec2, token: s3cret}", "onboarding: …"),
        ("joinuri: tbot+auth+token://s3cret@example.com:443", "joinuri: …"),
        ("onboarding:\n  token:s3cret", "  …"),
        ("onboarding:\n  generic_oidc:\n  - s3cret", "  - …"),
        ("onboarding:\n  - {tokn: s3cret}", "  - {tokn: …"),
        ("onboarding:\n  token: *s3cret", "  token: …"),
        ("onboarding:\n  token: \"s3cret", ""),
        ("onboarding:\n  toke:\n    s3cret", "  toke:"),
    ] {
        let error = Config::parse(&format!("version: v2\n{lines}\n"), "t.yaml").expect_err(lines).to_string();
        assert!(!error.contains("s3cret"), "{error}");
        assert!(shown.is_empty() || error.contains(&format!("| {shown}\n")), "{lines}: {error}");
    }
}

#[test]
fn nothing_secret_is_shown_for_debugging() {
    let overrides = Overrides {
        token: Some("s3cret-1".into()),
        join_uri: Some("tbot+auth+bound-keypair://s3cret-1:s3cret-2@example.com:443".into()),
        registration_secret: Some("s3cret-3".into()),
        ..Overrides::default()
    };
    let shown = format!("{overrides:?}");
    let config = Config::load(None, Overrides { registration_secret: None, ..overrides }).expect("good");
    let shown = format!("{shown} {config:?}");
    assert!(!shown.contains("s3cret") && shown.contains("bound_keypair"), "{shown}");
}

#[test]
fn what_cannot_work_together_is_refused() {
    let cases = [
        ("auth_server: a\nrenewal_interval: 2h\n".to_owned(), "must be below"),
        (
            "outputs:\n  - {type: identity, destination: {type: directory, path: /var/lib/teleport/bot}}\n".into(),
            "share",
        ),
    ];
    for (text, words) in cases {
        let config = Config::parse(&format!("version: v2\n{text}"), "t.yaml").expect(&text);
        let error = config.check().expect_err(&text);
        assert!(error.contains(words), "{text}\n{error}");
    }
}

#[test]
fn flags_are_checked_as_the_file_is() {
    let mut tunnel = Service::new("application-tunnel").unwrap();
    tunnel.spec.insert("listen".into(), "127.0.0.1:1234".into());
    for (overrides, words) in [
        (Overrides { proxy_server: Some("a:x".into()), ..Overrides::default() }, "proxy_server: "),
        (Overrides { auth_server: Some("a:99999".into()), ..Overrides::default() }, "auth_server: "),
        (Overrides { service: Some(tunnel), ..Overrides::default() }, "write tcp://127.0.0.1:1234"),
    ] {
        let error = Config::load(None, overrides).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (text, words) in [
        ("auth_server: a\nonboarding: {join_method: github}\n", "join method \"github\" is not supported yet"),
        (
            "auth_server: a\nservices: [{type: database-tunnel, listen: 'tcp://127.0.0.1:1', service: s, database: d, username: u}]\n",
            "\"database-tunnel\" is not supported yet",
        ),
        (
            "auth_server: a\nservices: [{type: identity, destination: {type: kubernetes_secret, name: s}}]\n",
            "kubernetes_secret (s) is not supported yet",
        ),
    ] {
        let config = Config::parse(&format!("version: v2\n{text}"), "t.yaml").expect(text);
        let error = config.check_supported().expect_err(text);
        assert!(error.contains(words), "{text}\n{error}");
    }
}

#[test]
fn a_join_uri_stands_for_the_flags() {
    let uri = "tbot+auth+bound-keypair://my%2Dtoken:s%40x@example.com:443";
    let overrides = Overrides { join_uri: Some(uri.into()), ..Overrides::default() };
    let config = Config::load(None, overrides).expect("good");
    assert_eq!(config.auth_server.as_deref(), Some("example.com:443"));
    assert_eq!(config.onboarding.method(), "bound_keypair");
    assert_eq!(config.onboarding.token.as_ref().map(|token| token.expose().as_str()), Some("my-token"));
    assert_eq!(config.onboarding.methods["bound_keypair"]["registration_secret"], "s@x");
    for bad in ["x", "tbot+auth://t@h:1", "tbot+foo+token://t@h:1", "tbot+auth+token://h:1", "tbot+auth+token://%2@h:1"]
    {
        let overrides = Overrides { join_uri: Some(bad.into()), ..Overrides::default() };
        assert!(Config::load(None, overrides).is_err(), "{bad}");
    }
}

#[test]
fn flags_win_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tbot.yaml");
    fs::write(&path, GOOD).expect("written");
    let overrides = Overrides {
        proxy_server: Some("p:443".into()),
        token: Some("other".into()),
        storage: Some("/state".into()),
        credential_ttl: Some(Duration::from_secs(48 * 3600)),
        ..Overrides::default()
    };
    let config = Config::load(Some(&path), overrides).expect("good");
    assert_eq!((config.auth_server, config.proxy_server.as_deref()), (None, Some("p:443")));
    assert_eq!(config.storage, Destination::directory("/state"));
    assert_eq!(config.onboarding.token.as_ref().map(|token| token.expose().as_str()), Some("other"));
    assert_eq!(config.credential_ttl.map(|ttl| ttl.as_secs()), Some(48 * 3600));
}

#[test]
fn a_v1_file_becomes_a_v2_file() {
    let v1 = "auth_server: auth:3025
certificate_ttl: 1h
onboarding: {join_method: token, token: t}
storage: {directory: /var/lib/bot}
destinations:
  - directory: {path: /opt/a}
    configs: [ssh_client]
  - directory: /opt/b
    app: {app: grafana}
    configs: [tls]
  - memory: {}
    database: {service: s, database: d, username: u}
    configs: [mongo]
";
    let config = migrate(v1, "old.yaml").expect("convertible");
    let kinds: Vec<_> = config.services.iter().map(|service| service.kind.name).collect();
    assert_eq!(kinds, ["identity", "application", "database"]);
    assert!(config.services[1].flag("specific_tls_naming"));
    assert_eq!(config.services[2].text("format"), "mongo");
    assert_eq!(config.storage, Destination::directory("/var/lib/bot"));
    assert!(migrate("destinations:\n- {}\n", "old.yaml").is_err());
}

#[test]
fn bombs_are_refused() {
    let clock = clock::Clock::system();
    let mut laughs = String::from("version: v2\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    let steps: String = (0..200).map(|level| "  ".repeat(level) + "a:\n").collect();
    for bomb in [laughs, steps, "[".repeat(100_000)] {
        let started = clock.monotonic();
        assert!(Config::parse(&bomb, "bomb").is_err());
        let took = clock.monotonic() - started;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}
