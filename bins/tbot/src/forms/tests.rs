use bot::Config;
use clap::Parser;

use crate::{args::Cli, commands::Command};

/// Every form, with its least flags, writes a file that its own reader understands, and asks for the type it is named
/// after.
#[test]
fn every_form_writes_a_file_that_can_be_read() {
    const FORMS: &[(&str, &str, &str)] = &[
        ("identity", "identity", "--destination=/d --cluster=leaf --allow-reissue --reader-user=app --reader-group=33"),
        ("ssh", "identity", "--destination=memory://"),
        ("application", "application", "--destination=/d --app=grafana --specific-tls-extensions"),
        ("application-tunnel", "application-tunnel", "--listen=tcp://127.0.0.1:1 --app=grafana"),
        ("application-proxy", "application-proxy", "--listen=unix:///s"),
        ("database", "database", "--destination=file:///d --service=s --username=u --database=d --format=tls"),
        ("database-tunnel", "database-tunnel", "--listen=tcp://a:1 --service=s --username=u --database=d"),
        (
            "kubernetes",
            "kubernetes",
            "--destination=kubernetes-secret://n --kubernetes-cluster=k --disable-exec-plugin",
        ),
        ("kubernetes/v2", "kubernetes/v2", "--destination=/d --name-selector=a --label-selector=k=v,l=w"),
        ("ssh-multiplexer", "ssh-multiplexer", "--destination=/d --enable-resumption=false --proxy-command=x"),
        ("workload-identity-x509", "workload-identity-x509", "--destination=/d --name-selector=n"),
        ("workload-identity-jwt", "workload-identity-jwt", "--destination=/d --label-selector=k=v|w --audience=a"),
        ("workload-identity-api", "workload-identity-api", "--listen=unix:///s --name-selector=n"),
        (
            "workload-identity-aws-roles-anywhere",
            "workload-identity-aws-roles-anywhere",
            "--destination=/d --name-selector=n --role-arn=r --profile-arn=p --trust-anchor-arn=t --session-duration=1h0m0s",
        ),
        ("noop", "", ""),
        ("legacy", "identity", "--data-dir=/state --destination-dir=/d"),
    ];
    for (form, kind, flags) in FORMS {
        let shared = "--auth-server=a:1 --token=t --join-method=token --certificate-ttl=30m --renewal-interval=5m";
        let line = format!("tbot start {form} {flags} {shared}");
        let cli = Cli::try_parse_from(line.split(' ').filter(|word| !word.is_empty())).expect(&line);
        let Command::Start(args) = cli.command else { panic!("{line}") };
        let overrides = args.overrides(&cli.globals).expect(&line);
        let config = Config::load(None, overrides).expect(&line);
        let read = Config::parse(&config.to_yaml(), form).unwrap_or_else(|error| panic!("{line}\n{error}"));
        assert_eq!(read.to_yaml(), config.to_yaml(), "{line}");
        let kinds: Vec<_> = read.services.iter().map(|service| service.kind.name).collect();
        assert_eq!(kinds.join(""), *kind, "{line}");
    }
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    for line in [
        "tbot start application --destination=/d",
        "tbot start workload-identity-x509 --destination=/d",
        "tbot start workload-identity-x509 --destination=/d --name-selector=a --label-selector=k=v",
        "tbot start identity --destination=/d --certificate-ttl=0s",
        "tbot start identity --destination=/d --no-such-flag",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

#[test]
fn a_switch_has_its_opposite_and_the_last_one_counts() {
    let written = |flags: &str| {
        let line = format!("tbot start {flags} --destination=/d --auth-server=a:1 --token=t --join-method=token");
        let Command::Start(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!("{line}") };
        serde_json::Value::Object(args.overrides(&crate::args::Globals::default()).unwrap().service.unwrap().spec)
    };
    assert_eq!(written("ssh-multiplexer --no-enable-resumption")["enable_resumption"], false);
    assert_eq!(written("ssh-multiplexer --enable-resumption=false")["enable_resumption"], false);
    assert_eq!(written("ssh-multiplexer --enable-resumption")["enable_resumption"], true);
    assert_eq!(written("identity --no-allow-reissue --allow-reissue")["allow_reissue"], true);
    assert!(written("identity --allow-reissue --no-allow-reissue").get("allow_reissue").is_none());
}
