//! `tessera configure`: writes a file that works, with comments where somebody has to think.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use domain::Error;

use crate::{
    config::{Address, Config, Suite, authority},
    overrides::ROLES,
};

/// Where the diagnostics endpoint usually is.
const DIAG_PORT: u16 = 3000;

/// What the file shall say.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The services that run here; the auth service when none is named, and the proxy and the agent when something is
    /// said about them.
    pub roles: Vec<String>,
    /// The cluster's name; the host name when not given.
    pub cluster_name: Option<String>,
    /// Names or addresses that clients dial: the proxy's, when there is one here, else the auth service's.
    pub public_addr: Vec<String>,
    /// This machine's name.
    pub nodename: Option<String>,
    /// Where state lives.
    pub data_dir: Option<PathBuf>,
    /// Where the API listens.
    pub listen_addr: Option<String>,
    /// Which key algorithms.
    pub suite: Option<Suite>,
    /// The cluster that is joined, when there is no auth service here.
    pub joins: Joins,
    /// The files of the public certificate and of its key.
    pub https_keypair: Option<(PathBuf, PathBuf)>,
    /// Whether the public certificate comes from an ACME authority, and who is told about it.
    pub acme: Option<Acme>,
    /// An application beside this host: name and address.
    pub app: Option<(String, String)>,
}

/// The cluster that is joined.
#[derive(Clone, Debug, Default)]
pub struct Joins {
    /// Its auth service.
    pub auth_server: Option<String>,
    /// One of its proxies.
    pub proxy_server: Option<String>,
    /// The token, or the path of a file that holds it.
    pub token: Option<String>,
    /// Pins of its authority.
    pub ca_pins: Vec<String>,
}

impl Joins {
    /// A flag that was given.
    fn given(&self) -> Option<&'static str> {
        let given = [
            ("--auth-server", self.auth_server.is_some()),
            ("--proxy", self.proxy_server.is_some()),
            ("--token", self.token.is_some()),
            ("--ca-pin", !self.ca_pins.is_empty()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

/// Certificates from an ACME authority.
#[derive(Clone, Debug, Default)]
pub struct Acme {
    /// Who is told before a certificate ends.
    pub email: Option<String>,
}

/// Where the file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that must not exist yet.
    File(PathBuf),
}

impl Target {
    /// Reads `file` (the default place), `stdout`, `file:///path` or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            "stdout" | "-" => Target::Stdout,
            "file" => Target::File("/etc/tessera.yaml".into()),
            path => Target::File(path.strip_prefix("file://").unwrap_or(path).into()),
        }
    }
}

/// The file's text; it has been read back and found valid.
///
/// # Errors
/// When an answer cannot stand in a file.
pub fn text(answers: &Answers) -> anyhow::Result<String> {
    let services = Services::of(answers)?;
    let text = [
        "# Configuration of a Tessera server. \"tessera check FILE\" shows what it means with all defaults.\nversion: v3\n".to_owned(),
        teleport(answers, &services)?,
        if services.auth { auth_service(answers, &services)? } else { off("auth_service") },
        if services.proxy { proxy_service(answers)? } else { off("proxy_service") },
        if services.app { app_service(answers)? } else { String::new() },
        off("ssh_service"),
    ];
    let text = text.concat();
    let config = Config::from_text(&text, "the new file").context("an answer cannot be used")?;
    config.check()?;
    Ok(text)
}

/// Which services run.
struct Services {
    auth: bool,
    proxy: bool,
    app: bool,
}

impl Services {
    fn of(answers: &Answers) -> Result<Self, Error> {
        for role in &answers.roles {
            if !["auth", "proxy", "app"].contains(&role.as_str()) {
                return Err(match ROLES.contains(&role.as_str()) {
                    true => Error::unsupported(format!("--roles: the service \"{role}\" is not supported yet")),
                    false => Error::invalid(format!("--roles: there is no service \"{role}\"")),
                });
            }
        }
        let is_named = |role: &str| answers.roles.iter().any(|named| named == role);
        let has_certificate = answers.https_keypair.is_some() || answers.acme.is_some();
        let is_open = answers.roles.is_empty();
        let services = Self {
            auth: is_open || is_named("auth"),
            proxy: is_open && (has_certificate || answers.app.is_some()) || is_named("proxy"),
            app: is_open && answers.app.is_some() || is_named("app"),
        };
        let refuse = |flags: &str, role: &str| Err(Error::invalid(format!("{flags} need --roles with \"{role}\"")));
        if has_certificate && !services.proxy {
            return refuse("--cert-file, --key-file and --acme", "proxy");
        }
        if answers.app.is_some() && !services.app {
            return refuse("--app-name and --app-uri", "app");
        }
        if let (true, Some(flag)) = (services.auth, answers.joins.given()) {
            return Err(Error::invalid(format!(
                "{flag} is for a host that joins another cluster, and here an auth service runs: leave it out, or name \
                 the services with --roles=proxy,app"
            )));
        }
        Ok(services)
    }
}

fn off(section: &str) -> String {
    format!("{section}:\n  enabled: no\n")
}

fn teleport(answers: &Answers, services: &Services) -> anyhow::Result<String> {
    let embedded = Config::embedded().teleport;
    let data_dir = answers.data_dir.as_deref().unwrap_or(&embedded.data_dir);
    let storage = if services.auth { "  storage:\n    type: sqlite\n" } else { "" };
    Ok(format!(
        "
teleport:
  nodename: {nodename}
  # State: the database, the keys that seal the CA keys, the lock. Mode 0711; see the server guide before backing it up.
  data_dir: {data_dir}
  log:
    output: stderr
    severity: INFO
    format:
      output: text
  # /healthz, /readyz and /metrics; without TLS or log-in, so keep it on the loopback.
  diag_addr: 127.0.0.1:{diag}
{storage}{joins}
",
        nodename = scalar(answers.nodename.as_deref().unwrap_or(&embedded.nodename))?,
        data_dir = scalar(&data_dir.display().to_string())?,
        diag = diag_port(answers),
        joins = if services.auth { String::new() } else { joins(&answers.joins)? },
    ))
}

/// The usual port, unless the application or another port of this server is there.
fn diag_port(answers: &Answers) -> u16 {
    let app = answers.app.as_ref().and_then(|(_, uri)| authority(uri)).map(|at| at.port);
    let listen = answers.listen_addr.as_ref().and_then(|text| Address::parse(text, 3025).ok()).map(|at| at.port);
    let taken = [app, listen, Some(web_port(answers))];
    (DIAG_PORT..u16::MAX).find(|port| !taken.contains(&Some(*port))).unwrap_or(DIAG_PORT)
}

/// Where the public port is: where its public address says.
fn web_port(answers: &Answers) -> u16 {
    // Of the challenges that prove a name, the one that needs no second port needs this one.
    let usual = if answers.acme.is_some() { 443 } else { 3080 };
    answers.public_addr.first().and_then(|text| Address::parse(text, usual).ok()).map_or(usual, |at| at.port)
}

/// The cluster that a host without an auth service joins.
fn joins(joins: &Joins) -> anyhow::Result<String> {
    let mut text =
        "  # The cluster that this host joins; once it has, neither the token nor the pin is needed again.\n"
            .to_owned();
    for (key, address) in [("auth_server", &joins.auth_server), ("proxy_server", &joins.proxy_server)] {
        if let Some(address) = address {
            text += &format!("  {key}: {}\n", scalar(address)?);
        }
    }
    text += &match &joins.token {
        Some(token) => format!("  join_params:\n    method: token\n    token_name: {}\n", scalar(token)?),
        None => "  # From tctl tokens add; the path of a file that holds it will do, too.\n  # join_params: {method: token, token_name: TOKEN}\n".to_owned(),
    };
    text += &match joins.ca_pins.as_slice() {
        [] => "  # By this the host knows its cluster; tctl status shows it.\n  # ca_pin: \"sha256:…\"\n".to_owned(),
        pins => format!("  ca_pin: {}\n", serde_json::to_string(pins)?),
    };
    Ok(text)
}

fn auth_service(answers: &Answers, services: &Services) -> anyhow::Result<String> {
    let embedded = Config::embedded();
    let nodename = answers.nodename.as_deref().unwrap_or(&embedded.teleport.nodename);
    let listen = answers.listen_addr.clone().unwrap_or_else(|| embedded.auth_service.listen_addr.to_string());
    let public = match answers.public_addr.as_slice() {
        some @ [_, ..] if !services.proxy => format!("  public_addr: {}", serde_json::to_string(some)?),
        _ => "  # public_addr: [auth.example.com:3025]".to_owned(),
    };
    Ok(format!(
        "auth_service:
  enabled: yes
  # Part of every certificate. It cannot change once the cluster has started.
  cluster_name: {cluster_name}
  listen_addr: {listen}
  # Names and addresses under which clients reach this server; they go into its certificate.
{public}
  authentication:
    # legacy (RSA), balanced-v1, fips-v1 or hsm-v1; CAs keep the algorithm that they were made with.
    signature_algorithm_suite: {suite}
    default_session_ttl: 12h
  # How long after its end a bot's certificate may still renew; 0 switches this off.
  bot_renewal_grace: 72h

",
        cluster_name = scalar(answers.cluster_name.as_deref().unwrap_or(nodename))?,
        listen = scalar(&listen)?,
        suite = answers.suite.unwrap_or(Suite::BalancedV1).as_str(),
    ))
}

fn proxy_service(answers: &Answers) -> anyhow::Result<String> {
    let port = web_port(answers);
    let public = match answers.public_addr.as_slice() {
        [] => format!("  # public_addr: [proxy.example.com:{port}]"),
        some => format!("  public_addr: {}", serde_json::to_string(some)?),
    };
    let mut text = format!(
        "proxy_service:
  enabled: yes
  # The one public port: pages, API, agents and applications. It is that of public_addr, unless something in front of
  # this machine leads to another one.
  web_listen_addr: 0.0.0.0:{port}
  # How people and programs reach it; applications are names below the first one, so their names lead here, too.
{public}
"
    );
    match &answers.https_keypair {
        Some((certificate, key)) => {
            text += "  # The public certificate, for the proxy's name and all names below it.\n  https_keypairs:\n";
            text += &format!("  - cert_file: {}\n", scalar(&certificate.display().to_string())?);
            text += &format!("    key_file: {}\n", scalar(&key.display().to_string())?);
        }
        None if answers.acme.is_none() => {
            text += "  # Without this the port shows a certificate of the cluster's own authority, which browsers do not trust.\n  \
                     # https_keypairs: [{cert_file: /etc/tls/proxy.crt, key_file: /etc/tls/proxy.key}]\n";
        }
        None => {}
    }
    if let Some(acme) = &answers.acme {
        text += "  acme:\n    enabled: yes\n";
        if let Some(email) = &acme.email {
            text += &format!("    email: {}\n", scalar(email)?);
        }
    }
    Ok(text + "\n")
}

fn app_service(answers: &Answers) -> anyhow::Result<String> {
    let apps = match &answers.app {
        Some((name, uri)) => format!("  apps:\n  - name: {}\n    uri: {}\n", scalar(name)?, scalar(uri)?),
        None => "  # apps: [{name: grafana, uri: \"http://localhost:3000\"}]\n".to_owned(),
    };
    Ok(format!("app_service:\n  enabled: yes\n{apps}\n"))
}

/// A string as JSON writes it, which YAML reads: an answer must not become syntax.
fn scalar(text: &str) -> anyhow::Result<String> {
    let plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':'));
    Ok(if plain { text.to_owned() } else { serde_json::to_string(text)? })
}

/// Writes a new file, mode 0600: a token may be added to it later.
///
/// # Errors
/// When the file exists, or its directory cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(Error::already_exists(format!(
                "{} exists already; remove it, or choose another place with --output",
                path.display()
            )))
        }
        other => other.with_context(|| format!("{} cannot be written", path.display()))?,
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied() -> Joins {
        Joins {
            proxy_server: Some("proxy.example.com:443".into()),
            token: Some("/etc/a token".into()),
            ca_pins: vec![format!("sha256:{}", "a".repeat(64))],
            ..Joins::default()
        }
    }

    #[test]
    fn every_combination_of_answers_makes_a_file_without_a_warning() {
        let suites = [None, Some(Suite::Legacy), Some(Suite::BalancedV1), Some(Suite::FipsV1), Some(Suite::HsmV1)];
        for choice in 0_u32..256 {
            let chosen = |bit: u32| choice & (1 << bit) != 0;
            for suite in suites {
                let answers = Answers {
                    cluster_name: chosen(0).then(|| "example.com".into()),
                    public_addr: if chosen(1) { vec!["a.example.com".into(), "[::1]:443".into()] } else { Vec::new() },
                    nodename: chosen(2).then(|| "7".into()),
                    data_dir: chosen(3).then(|| "/srv/it's \"here\"".into()),
                    listen_addr: chosen(4).then(|| "[::]:3025".into()),
                    https_keypair: chosen(5).then(|| ("/etc/tls/a: b".into(), "/etc/tls/key".into())),
                    app: chosen(6).then(|| ("grafana".into(), "http://localhost:3000".into())),
                    roles: if chosen(7) { ["auth", "proxy", "app"].map(Into::into).into() } else { Vec::new() },
                    suite,
                    ..Answers::default()
                };
                let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
                assert_eq!(config.warnings, Vec::<String>::new(), "{answers:?}");
                assert_eq!(config.advice(), Vec::<String>::new(), "{answers:?}");
                if let Some(data_dir) = answers.data_dir {
                    assert_eq!(config.teleport.data_dir, data_dir);
                }
            }
        }
    }

    #[test]
    fn the_file_means_what_was_answered() {
        let answers = Answers {
            cluster_name: Some("example.com".into()),
            public_addr: vec!["auth.example.com:443".into()],
            nodename: Some("one".into()),
            data_dir: Some("/srv/with space".into()),
            listen_addr: Some("127.0.0.1:4025".into()),
            suite: Some(Suite::Legacy),
            ..Answers::default()
        };
        let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
        assert_eq!(config.services().collect::<Vec<_>>(), ["auth"]);
        assert_eq!(config.cluster_name(), "example.com");
        assert_eq!(config.teleport.nodename, "one");
        assert_eq!(config.teleport.data_dir, Path::new("/srv/with space"));
        assert_eq!(config.auth_service.public_addr[0].to_string(), "auth.example.com:443");
        assert_eq!(config.auth_service.authentication.signature_algorithm_suite, Some(Suite::Legacy));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn a_proxy_and_an_agent_join_as_was_answered() {
        let answers = Answers {
            roles: vec!["proxy".into(), "app".into()],
            public_addr: vec!["proxy.example.com:443".into()],
            joins: Joins { auth_server: Some("auth.example.com".into()), proxy_server: None, ..proxied() },
            https_keypair: Some(("/etc/tls/crt".into(), "/etc/tls/key".into())),
            app: Some(("grafana".into(), "http://localhost:3000".into())),
            ..Answers::default()
        };
        let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
        assert_eq!(config.services().collect::<Vec<_>>(), ["proxy", "app"]);
        assert_eq!(config.teleport.auth_servers[0].to_string(), "auth.example.com:3025");
        assert_eq!(config.teleport.join_params.unwrap().token, "/etc/a token");
        assert_eq!(config.teleport.ca_pin, proxied().ca_pins);
        assert_eq!(config.proxy_service.public_addr[0].to_string(), "proxy.example.com:443");
        assert_eq!(config.proxy_service.https_keypairs[0].key_file, Path::new("/etc/tls/key"));
        assert_eq!(config.app_service.apps[0].0.metadata.name, "grafana");

        let agent = Answers { roles: vec!["app".into()], joins: proxied(), ..Answers::default() };
        let config = Config::from_text(&text(&agent).unwrap(), "x").unwrap();
        assert_eq!(config.teleport.proxy_server.unwrap().to_string(), "proxy.example.com:443");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn the_public_port_is_where_people_are_sent_and_no_port_is_the_applications() {
        for (public, acme, uri, ports) in [
            (vec!["proxy.example.com:4080"], false, "http://localhost:9000", (4080, 3000)),
            (vec!["proxy.example.com"], false, "http://localhost:3000", (3080, 3001)),
            (vec!["proxy.example.com"], true, "https://127.0.0.1", (443, 3000)),
            (vec!["proxy.example.com:3000", "b:1"], false, "tcp://localhost:3001", (3000, 3002)),
            (vec![], false, "http://elsewhere:3000", (3080, 3001)),
        ] {
            let answers = Answers {
                roles: ["auth", "proxy", "app"].map(Into::into).into(),
                public_addr: public.into_iter().map(Into::into).collect(),
                acme: acme.then(Acme::default),
                app: Some(("a".into(), uri.into())),
                ..Answers::default()
            };
            let config = Config::from_text(&text(&answers).unwrap(), "x").unwrap();
            let diag = config.teleport.diag_addr.as_ref().unwrap().port;
            assert_eq!((config.proxy_service.web_listen_addr.port, diag), ports, "{answers:?}");
        }
    }

    #[test]
    fn answers_that_do_not_fit_each_other_are_refused() {
        let agent = || Answers { roles: vec!["app".into()], joins: proxied(), ..Answers::default() };
        for (answers, expected) in [
            (Answers { joins: Joins::default(), ..agent() }, "has no cluster"),
            (Answers { roles: vec!["proxy".into()], ..agent() }, "no auth service"),
            (Answers { https_keypair: Some(("/a".into(), "/b".into())), ..agent() }, "need --roles"),
            (Answers { roles: vec!["auth".into()], app: Some(("a".into(), "b".into())), ..agent() }, "need --roles"),
            (Answers { roles: vec!["node".into()], ..agent() }, "not supported yet"),
            (Answers { roles: vec!["nodes".into()], ..agent() }, "no service"),
            (Answers { roles: vec!["auth".into()], ..agent() }, "--proxy is for a host that joins"),
            (
                Answers { joins: Joins { ca_pins: vec!["abc".into()], ..Joins::default() }, ..agent() },
                "\"abc\" is no pin",
            ),
        ] {
            let refused = format!("{:#}", text(&answers).unwrap_err());
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
    }

    #[test]
    fn an_answer_cannot_become_syntax() {
        let answers = Answers { cluster_name: Some("a\nproxy_service: {enabled: yes}".into()), ..Answers::default() };
        assert!(text(&answers).is_err());
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tessera.yaml");
        write(&path, "a").unwrap();
        assert!(write(&path, "b").unwrap_err().to_string().contains("exists already"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
    }
}
