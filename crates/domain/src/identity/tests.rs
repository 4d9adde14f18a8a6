use super::*;

fn bot() -> Identity {
    Identity {
        username: "bot-ci".into(),
        roles: vec!["bot-ci".into(), "access".into()],
        principals: vec!["root".into()],
        traits: [("logins".to_owned(), vec!["root".to_owned()])].into(),
        usage: vec!["usage:apps".into()],
        route_to_cluster: "example.com".into(),
        teleport_cluster: "example.com".into(),
        impersonator: "bot-ci".into(),
        renewable: true,
        disallow_reissue: true,
        generation: 7,
        user_type: UserType::Bot,
        bot_name: "ci".into(),
        bot_instance_id: "0197".into(),
        pinned_ip: "10.0.0.1".into(),
        previous_identity_expires: "2030-01-01T00:00:00Z".parse().ok(),
        active_requests: vec!["a".into(), "b".into()],
        system_roles: vec![SystemRole::Node, SystemRole::App],
        kubernetes_groups: vec!["g".into()],
        route_to_app: RouteToApp { name: "grafana".into(), session_id: "s".into(), ..RouteToApp::default() },
        route_to_database: RouteToDatabase {
            service_name: "db".into(),
            roles: vec!["r".into()],
            ..RouteToDatabase::default()
        },
        join_attributes: serde_json::from_str(
            r#"{"meta":{"join_token_name":"t","join_method":"github"},"github":{"sub":"x"}}"#,
        )
        .ok(),
        join_token_hash: "9f86d081".into(),
        ..Identity::default()
    }
}

#[test]
fn a_subject_is_read_as_it_was_written() {
    let subject: Vec<(String, String)> =
        bot().to_subject().into_iter().map(|(oid, value)| (oid.to_owned(), value)).collect();
    assert_eq!(Identity::from_subject(&subject).unwrap(), bot());
    let value = |oid: &str| subject.iter().filter(|(o, _)| o == oid).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(value("2.5.4.3"), ["bot-ci"]);
    assert_eq!(value("2.5.4.10"), ["bot-ci", "access"]);
    assert_eq!(value("2.5.4.17"), [r#"{"logins":["root"]}"#]);
    assert_eq!(value("1.3.9999.1.13"), ["true"]);
    assert_eq!(value("1.3.9999.1.14"), ["7"]);
    assert_eq!(value("1.3.9999.2.20"), ["0197"]);
    let standard: Vec<&str> =
        bot().to_subject().iter().map(|(oid, _)| *oid).take_while(|oid| oid.starts_with("2.5")).collect();
    assert_eq!(standard, ["2.5.4.10", "2.5.4.10", "2.5.4.11", "2.5.4.7", "2.5.4.9", "2.5.4.17", "2.5.4.3"]);
}

#[test]
fn unknown_attributes_are_skipped_and_broken_ones_refused() {
    let read = |oid: &str, value: &str| Identity::from_subject(&[(oid.to_owned(), value.to_owned())]);
    assert_eq!(read("1.3.9999.9.9", "x").unwrap(), Identity::default());
    for (oid, value) in [
        ("2.5.4.17", "{"),
        ("1.3.9999.1.14", "-1"),
        ("1.3.9999.2.11", "Nobody"),
        ("1.3.9999.2.12", "soon"),
        ("1.3.9999.2.21", "["),
    ] {
        assert!(read(oid, value).is_err(), "{oid} {value}");
    }
}

#[test]
fn an_ssh_certificate_is_read_as_it_was_written() {
    let identity = Identity { ssh_permits: SshPermits { port_forwarding: true, ..SshPermits::default() }, ..bot() };
    let principals = ssh_principals(&identity.principals, uuid::Uuid::nil());
    let extensions = identity.ssh_extensions();
    assert_eq!(extensions["teleport-roles"], r#"{"version":"v1","roles":["bot-ci","access"]}"#);
    assert_eq!(extensions["permit-pty"], "");
    assert_eq!(extensions["permit-port-forwarding"], "");
    let read = Identity::from_ssh("bot-ci", &principals, &identity.ssh_critical_options(), &extensions).unwrap();
    let expected = Identity {
        usage: vec![],
        teleport_cluster: String::new(),
        user_type: UserType::Unknown,
        system_roles: vec![],
        kubernetes_groups: vec![],
        route_to_app: RouteToApp::default(),
        route_to_database: RouteToDatabase::default(),
        join_attributes: None,
        join_token_hash: String::new(),
        ..identity
    };
    assert_eq!(read, expected);
}

#[test]
fn a_certificate_always_has_principals() {
    let none = ssh_principals(&[], uuid::Uuid::nil());
    assert_eq!(none, ["-teleport-nologin-00000000-0000-0000-0000-000000000000", "-teleport-internal-join"]);
    assert_eq!(
        ssh_principals(&["root".into(), "-teleport-internal-join".into()], uuid::Uuid::nil()),
        ["root", "-teleport-internal-join"]
    );
}

#[test]
fn no_role_extension_replaces_one_of_ours() {
    let identity = Identity {
        cert_extensions: vec![("teleport-roles".into(), "x".into()), ("own@example.com".into(), "y".into())],
        ..bot()
    };
    let extensions = identity.ssh_extensions();
    assert_ne!(extensions["teleport-roles"], "x");
    assert_eq!(extensions["own@example.com"], "y");
}

#[test]
fn a_host_is_known_by_its_name_and_role() {
    let host = |username: &str, role: &str| Identity {
        username: username.into(),
        roles: vec![role.into()],
        teleport_cluster: "example.com".into(),
        ..Identity::default()
    };
    assert_eq!(host("0197.example.com", "Node").system_role(), Some(SystemRole::Node));
    assert_eq!(host("0197.example.com", "Node").host_id(), Some("0197"));
    assert_eq!(host("alice", "Node").system_role(), None);
    assert_eq!(host("0197.example.com", "node").system_role(), None);
    assert_eq!(host("0197.evil-example.com", "Node").system_role(), None);
}

#[test]
fn an_address_is_the_same_however_it_is_written() {
    for (pinned, address, is_good) in [
        ("", None, true),
        ("", Some("192.0.2.7"), true),
        ("192.0.2.7", Some("192.0.2.7"), true),
        ("192.0.2.7", Some("::ffff:192.0.2.7"), true),
        ("::ffff:c000:207", Some("192.0.2.7"), true),
        ("2001:db8:0::7", Some("2001:db8::7"), true),
        ("192.0.2.7", Some("192.0.2.8"), false),
        ("192.0.2.7", None, false),
        ("x", Some("192.0.2.7"), false),
    ] {
        let identity = Identity { pinned_ip: pinned.into(), ..Identity::default() };
        let address = address.map(|address| address.parse().unwrap());
        assert_eq!(identity.is_good_from(address), is_good, "{pinned} {address:?}");
    }
}
