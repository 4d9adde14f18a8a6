//! Flags of `tessera start` that take precedence over the file.

use std::{net::IpAddr, path::PathBuf};

use domain::Error;

use crate::config::{Address, Config, Severity};

/// The names of all services, as `--roles` takes them.
pub const ROLES: [&str; 8] = ["auth", "proxy", "node", "app", "db", "kube", "discovery", "windowsdesktop"];

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Which services run: `auth`, and later `proxy`, `node`, `app` …
    pub roles: Vec<String>,
    /// This machine's name.
    pub nodename: Option<String>,
    /// The diagnostics endpoint.
    pub diag_addr: Option<String>,
    /// The pid file.
    pub pid_file: Option<PathBuf>,
    /// The address that others are told.
    pub advertise_ip: Option<IpAddr>,
    /// Where the API listens (`-l`).
    pub listen_ip: Option<IpAddr>,
    /// Log everything that helps to find a fault.
    pub debug: bool,
}

impl Overrides {
    /// Changes a configuration.
    ///
    /// # Errors
    /// When a flag asks for a part that is not built, or its value makes no sense.
    pub fn apply(self, config: &mut Config) -> Result<(), Error> {
        for role in self.roles.iter().flat_map(|roles| roles.split(',')).map(str::trim).filter(|role| !role.is_empty())
        {
            match role {
                "auth" => config.auth_service.enabled = true,
                later if ROLES.contains(&later) => {
                    return Err(Error::unsupported(format!(
                        "--roles: the service \"{later}\" is not supported yet; use --roles=auth"
                    )));
                }
                other => return Err(Error::invalid(format!("--roles: there is no service \"{other}\""))),
            }
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
            config.auth_service.listen_addr.host = ip.to_string();
        }
        if self.debug {
            config.teleport.log.severity = Severity::Debug;
        }
        Ok(())
    }
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
        for (roles, expected) in [("auth,proxy", "not supported yet"), ("authh", "no service")] {
            let flags = Overrides { roles: vec![roles.into()], ..Overrides::default() };
            assert!(flags.apply(&mut config).unwrap_err().to_string().contains(expected));
        }
    }
}
