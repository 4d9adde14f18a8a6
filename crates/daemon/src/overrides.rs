//! Flags of `tessera start` that take precedence over the file.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use domain::{
    Error, Resource as _,
    resources::{App, app::AppSpec},
};

use crate::config::{Address, Application, Config, JoinParams, Severity, read_pins};

/// The names of all services, as `--roles` takes them.
pub const ROLES: [&str; 8] = ["auth", "proxy", "node", "app", "db", "kube", "discovery", "windowsdesktop"];

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Which services run, whatever the file says; none: those of the file.
    pub roles: Vec<String>,
    /// The join token, or the path of a file that holds it.
    pub token: Option<String>,
    /// Pins of the cluster that is joined.
    pub ca_pins: Vec<String>,
    /// The auth service of the cluster that is joined, or a proxy that leads to it.
    pub auth_server: Option<String>,
    /// One more application.
    pub app: Option<AppFlags>,
    /// Where state lives.
    pub data_dir: Option<PathBuf>,
    /// This machine's name.
    pub nodename: Option<String>,
    /// The diagnostics endpoint.
    pub diag_addr: Option<String>,
    /// The pid file.
    pub pid_file: Option<PathBuf>,
    /// The address that others are told.
    pub advertise_ip: Option<IpAddr>,
    /// Where every public port listens (`-l`).
    pub listen_ip: Option<IpAddr>,
    /// Believe whoever answers when this host joins.
    pub insecure: bool,
    /// Log everything that helps to find a fault.
    pub debug: bool,
}

/// An application of the command line.
#[derive(Clone, Debug, Default)]
pub struct AppFlags {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub uri: String,
    /// What the names of its flags begin with: `--app-`, or `--` where everything is about one application.
    pub prefix: &'static str,
    /// Its own public address.
    pub public_addr: Option<String>,
    /// `key=value,key=value`.
    pub labels: String,
}

impl AppFlags {
    fn application(self) -> Result<Application, Error> {
        let spec = AppSpec { uri: self.uri, public_addr: self.public_addr.unwrap_or_default(), ..AppSpec::default() };
        let mut app = App::new(self.name, spec);
        app.metadata.labels = labels(&self.labels)?;
        app.set_defaults();
        agent_app::App::check(&app).map_err(|error| named_by_flag(self.prefix, error))?;
        Ok(Application(app))
    }
}

/// A field of the document is a flag for whoever wrote a command line.
fn named_by_flag(prefix: &str, mut error: Error) -> Error {
    for (field, flag) in [("metadata.name", "name"), ("spec.uri", "uri"), ("spec.public_addr", "public-addr")] {
        if let Some(rest) = error.message.strip_prefix(field) {
            error.message = format!("{prefix}{flag}{rest}");
        }
    }
    error
}

fn labels(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Error::invalid(format!("--labels: \"{pair}\" is no label, write key=value,key=value"))),
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair).collect()
}

impl Overrides {
    /// Changes a configuration.
    ///
    /// # Errors
    /// When a flag asks for a part that is not built, or its value makes no sense.
    pub fn apply(self, config: &mut Config) -> Result<(), Error> {
        choose_services(&self.roles, config)?;
        if let Some(token) = self.token {
            config.teleport.join_params = Some(JoinParams { token });
        }
        if !self.ca_pins.is_empty() {
            let pins: Vec<_> = self.ca_pins.iter().flat_map(|pins| pins.split(',')).map(str::to_owned).collect();
            config.teleport.ca_pin = read_pins(&pins)
                .map_err(|why| Error::invalid(format!("--ca-pin: {why}; tctl status shows the pin")))?;
        }
        if let Some(text) = self.auth_server {
            let address = Address::parse(&text, 3025).map_err(|why| Error::invalid(format!("--auth-server: {why}")))?;
            config.teleport.auth_servers = vec![address];
            config.teleport.proxy_server = None;
        }
        if let Some(app) = self.app {
            let application = app.application()?;
            config.app_service.apps.retain(|other| other.0.metadata.name != application.0.metadata.name);
            config.app_service.apps.push(application);
            config.app_service.enabled = true;
        }
        if let Some(data_dir) = self.data_dir {
            let storage = &mut config.teleport.storage.path;
            if let Ok(below) = storage.strip_prefix(&config.teleport.data_dir) {
                *storage = data_dir.join(below);
            }
            config.teleport.data_dir = data_dir;
        }
        if let Some(nodename) = self.nodename {
            config.teleport.nodename = nodename;
        }
        if let Some(text) = self.diag_addr {
            let address =
                Address::parse(&text, 3000).map_err(|message| Error::invalid(format!("--diag-addr: {message}")))?;
            config.teleport.diag_addr = Some(address);
        }
        if self.pid_file.is_some() {
            config.teleport.pid_file = self.pid_file;
        }
        if self.advertise_ip.is_some() {
            config.teleport.advertise_ip = self.advertise_ip;
        }
        if let Some(ip) = self.listen_ip {
            let proxy = &mut config.proxy_service;
            let optional = [proxy.listen_addr.as_mut(), proxy.tunnel_listen_addr.as_mut()].into_iter().flatten();
            for address in
                [&mut config.auth_service.listen_addr, &mut proxy.web_listen_addr].into_iter().chain(optional)
            {
                address.host = ip.to_string();
            }
        }
        if self.insecure {
            let joins = !config.auth_service.enabled;
            config.teleport.insecure = joins && config.teleport.ca_pin.is_empty();
            config.warnings.push(match (joins, config.teleport.insecure) {
                (_, true) => {
                    "--insecure: whoever answers is believed when this host joins, and may read the join token \
                              and choose our authorities; give --ca-pin instead (tctl status shows it)"
                        .to_owned()
                }
                (true, _) => "--insecure has no effect: --ca-pin says who is believed".to_owned(),
                (false, _) => "--insecure has no effect: the auth service runs in this process".to_owned(),
            });
        }
        if self.debug {
            config.teleport.log.severity = Severity::Debug;
        }
        config.check()
    }
}

/// Those named run and no others.
fn choose_services(roles: &[String], config: &mut Config) -> Result<(), Error> {
    let roles = roles.iter().flat_map(|roles| roles.split(',')).map(str::trim).filter(|role| !role.is_empty());
    let roles: Vec<&str> = roles.collect();
    for role in &roles {
        match *role {
            "auth" | "proxy" | "app" => {}
            later if ROLES.contains(&later) => {
                return Err(Error::unsupported(format!(
                    "--roles: the service \"{later}\" is not supported yet; use auth, proxy and app"
                )));
            }
            other => return Err(Error::invalid(format!("--roles: there is no service \"{other}\""))),
        }
    }
    if !roles.is_empty() {
        config.auth_service.enabled = roles.contains(&"auth");
        config.proxy_service.enabled = roles.contains(&"proxy");
        config.app_service.enabled = roles.contains(&"app");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_the_file_or_are_refused_by_name() {
        let mut config = Config::embedded();
        let flags = Overrides {
            roles: vec!["auth".into()],
            nodename: Some("one".into()),
            diag_addr: Some("127.0.0.1".into()),
            listen_ip: Some([127, 0, 0, 1].into()),
            debug: true,
            ..Overrides::default()
        };
        flags.apply(&mut config).unwrap();
        assert_eq!(config.teleport.nodename, "one");
        assert_eq!(config.teleport.diag_addr.as_ref().map(ToString::to_string).as_deref(), Some("127.0.0.1:3000"));
        assert_eq!(config.auth_service.listen_addr.to_string(), "127.0.0.1:3025");
        let ports = "version: v1\nproxy_service: {enabled: yes}";
        let mut everything = Config::from_text(ports, "x").unwrap();
        let flags = Overrides { listen_ip: Some([127, 0, 0, 1].into()), ..Overrides::default() };
        flags.apply(&mut everything).unwrap();
        let proxy = &everything.proxy_service;
        for address in [Some(&proxy.web_listen_addr), proxy.listen_addr.as_ref(), proxy.tunnel_listen_addr.as_ref()] {
            assert_eq!(address.unwrap().host, "127.0.0.1");
        }
        for (roles, expected) in [("auth,node", "not supported yet"), ("authh", "no service")] {
            let flags = Overrides { roles: vec![roles.into()], ..Overrides::default() };
            assert!(flags.apply(&mut config).unwrap_err().to_string().contains(expected));
        }
    }

    #[test]
    fn an_agent_needs_no_file() {
        let mut config = Config::embedded();
        let flags = Overrides {
            roles: vec!["app".into()],
            token: Some("secret".into()),
            auth_server: Some("proxy.example.com:443".into()),
            app: Some(AppFlags {
                name: "grafana".into(),
                uri: "http://localhost:3000".into(),
                labels: "env=dev, team=a".into(),
                ..AppFlags::default()
            }),
            ..Overrides::default()
        };
        flags.clone().apply(&mut config).unwrap();
        assert_eq!(config.services().collect::<Vec<_>>(), ["app"]);
        assert_eq!(config.app_service.apps[0].0.metadata.labels["team"], "a");
        assert_eq!(config.teleport.auth_servers[0].to_string(), "proxy.example.com:443");
        assert!(!config.effective().contains("secret"));

        let (one, other) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let mut pinned = Config::embedded();
        let pins = vec![format!("{one},{other}")];
        Overrides { ca_pins: pins, ..flags.clone() }.apply(&mut pinned).unwrap();
        assert_eq!(pinned.teleport.ca_pin, [one.clone(), other], "as tctl tokens add writes them");

        for (pins, is_anybody_believed) in [(Vec::new(), true), (vec![one], false)] {
            let mut config = Config::embedded();
            Overrides { ca_pins: pins, insecure: true, ..flags.clone() }.apply(&mut config).unwrap();
            assert_eq!(config.teleport.insecure, is_anybody_believed, "a pin says more than --insecure");
            assert!(config.warnings[0].contains("--insecure"), "{:?}", config.warnings);
        }
        let mut alone = Config::from_text("auth_service: {enabled: no}", "x").unwrap();
        flags.clone().apply(&mut alone).unwrap();
        assert_eq!(alone.services().collect::<Vec<_>>(), ["app"], "flags count before the file is judged");

        for (flags, expected) in [
            (Overrides { ca_pins: vec!["sha256:abc".into()], ..flags.clone() }, "--ca-pin: \"sha256:abc\" is no pin"),
            (Overrides { auth_server: None, ..flags.clone() }, "has no cluster"),
            (
                Overrides { roles: vec!["proxy".into()], auth_server: None, app: None, ..flags.clone() },
                "no auth service",
            ),
            (
                Overrides { app: Some(AppFlags { labels: "x".into(), ..AppFlags::default() }), ..flags.clone() },
                "--labels",
            ),
            (
                Overrides {
                    app: Some(AppFlags { name: "a".into(), prefix: "--app-", ..AppFlags::default() }),
                    ..flags
                },
                "--app-uri: ",
            ),
        ] {
            let refused = flags.apply(&mut Config::embedded()).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }
}
