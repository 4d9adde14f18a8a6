//! The ports that a configuration asks for, and what stands in their way within it.

use std::net::IpAddr;

use super::{Address, Config};

/// A port that is listened on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port<'a> {
    /// What it is called when it is handed over to the next program image.
    pub(crate) name: &'static str,
    /// What the file calls it.
    pub(crate) key: &'static str,
    /// Where it is.
    pub(crate) address: &'a Address,
}

impl Config {
    /// Every TCP port of the services that run, in the order in which they are opened.
    pub(crate) fn ports(&self) -> Vec<Port<'_>> {
        let (auth, proxy) = (&self.auth_service, &self.proxy_service);
        let of_auth = |address| auth.enabled.then_some(address);
        let of_proxy = |address: Option<_>| address.filter(|_| proxy.enabled);
        let http = proxy.acme.as_ref().and_then(|acme| acme.http_listen_addr.as_ref());
        let all = [
            ("diag", "teleport.diag_addr", self.teleport.diag_addr.as_ref()),
            ("auth", "auth_service.listen_addr", of_auth(&auth.listen_addr)),
            ("proxy", "proxy_service.web_listen_addr", of_proxy(Some(&proxy.web_listen_addr))),
            ("proxy-ssh", "proxy_service.listen_addr", of_proxy(proxy.listen_addr.as_ref())),
            ("proxy-tunnel", "proxy_service.tunnel_listen_addr", of_proxy(proxy.tunnel_listen_addr.as_ref())),
            ("proxy-http", "proxy_service.acme.http_listen_addr", of_proxy(http)),
        ];
        all.into_iter().filter_map(|(name, key, address)| Some(Port { name, key, address: address? })).collect()
    }

    /// Two keys that ask for one port, of which the second could not be opened.
    pub(super) fn refuse_clashes(&self) -> Result<(), domain::Error> {
        let ports = self.ports();
        for (index, one) in ports.iter().enumerate() {
            if let Some(other) = ports[..index].iter().find(|other| overlap(one.address, other.address)) {
                return Err(domain::Error::invalid(format!(
                    "{} and {} both ask for port {}: give one of them another port",
                    other.key, one.key, one.address.port
                )));
            }
        }
        Ok(())
    }

    /// What is allowed, but hardly meant: one sentence each.
    pub fn advice(&self) -> Vec<String> {
        let ports = self.ports();
        let mut advice = Vec::new();
        for app in self.app_service.apps.iter().filter(|_| self.app_service.enabled) {
            let (name, uri) = (&app.0.metadata.name, &app.0.spec.uri);
            let Some(at) = authority(uri).filter(|at| is_local(&at.host)) else { continue };
            let meets = |port: &&Port<'_>| {
                port.address.port == at.port && (is_local(&port.address.host) || is_everywhere(&port.address.host))
            };
            if let Some(port) = ports.iter().find(meets) {
                advice.push(format!(
                    "app_service.apps: {name:?} is said to be at {uri}, but there this server listens itself ({}): give \
                     one of them another port",
                    port.key
                ));
            }
        }
        advice
    }
}

/// Whether one of two listeners would keep the other out.
fn overlap(one: &Address, other: &Address) -> bool {
    let same = one.host == other.host || is_everywhere(&one.host) || is_everywhere(&other.host);
    one.port != 0 && one.port == other.port && same
}

fn is_everywhere(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where an application is.
pub(crate) fn authority(uri: &str) -> Option<Address> {
    let (scheme, rest) = uri.split_once("://")?;
    let port = if scheme == "https" { 443 } else { 80 };
    Address::parse(rest.split('/').next()?, port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_asked_for_once() {
        for (ports, refused) in [
            (["127.0.0.1:3080", "127.0.0.1:3080"], true),
            (["0.0.0.0:3080", "127.0.0.1:3080"], true),
            (["127.0.0.1:3080", "[::]:3080"], true),
            (["127.0.0.1:3080", "127.0.0.2:3080"], false),
            (["127.0.0.1:0", "127.0.0.1:0"], false),
        ] {
            let text = format!(
                "teleport: {{diag_addr: '{}'}}\nproxy_service: {{web_listen_addr: '{}'}}\n",
                ports[0], ports[1]
            );
            let checked = Config::from_text(&text, "x").unwrap().check();
            assert_eq!(checked.is_err(), refused, "{text}");
            assert!(checked.map_or_else(|error| error.message.contains("web_listen_addr"), |()| true), "{text}");
        }
    }

    #[test]
    fn an_application_where_we_listen_ourselves_is_pointed_out() {
        for (uri, diag, is_odd) in [
            ("http://localhost:3000", "127.0.0.1:3000", true),
            ("http://127.0.0.1:3000/x", "0.0.0.0:3000", true),
            ("http://localhost:3000", "127.0.0.1:3001", false),
            ("http://elsewhere:3000", "127.0.0.1:3000", false),
            ("tcp://localhost:3000", "192.0.2.1:3000", false),
        ] {
            let text = format!(
                "teleport: {{diag_addr: '{diag}'}}\nproxy_service: {{enabled: yes}}\n\
                 app_service: {{apps: [{{name: a, uri: '{uri}'}}]}}\n"
            );
            let advice = Config::from_text(&text, "x").unwrap().advice();
            assert_eq!(
                advice.iter().any(|line| line.contains("teleport.diag_addr")),
                is_odd,
                "{uri} {diag}: {advice:?}"
            );
        }
    }
}
