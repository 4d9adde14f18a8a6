//! Which host names are the proxy's own, and which are applications'.

use std::net::{IpAddr, Ipv6Addr};

use crate::Address;

/// The names of the cluster's own services, which no application can have.
const CLUSTER: &str = "teleport.cluster.local";

/// The longest name of a host (RFC 1035 §2.3.4).
const LONGEST: usize = 253;

/// The proxy's own public host names.
#[derive(Clone, Debug)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn new(public: &[Address]) -> Self {
        Self(public.iter().map(|address| address.host.clone()).collect())
    }

    /// Whether a host (lower case, without port) is treated as an application's: all are, but our own names, localhost
    /// and addresses. That there is such an application nobody learns by asking.
    pub(crate) fn is_application(&self, host: &str) -> bool {
        !self.0.is_empty() && !self.is_own(host)
    }

    fn is_own(&self, host: &str) -> bool {
        let is_of_cluster = host.strip_suffix(CLUSTER).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_of_cluster
            || host.is_empty()
            || host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.0.iter().any(|own| own == host)
    }

    /// The hosts of an application below ours.
    pub(crate) fn below(&self, label: &str) -> Vec<String> {
        let names = self.0.iter().filter(|own| own.contains('.') && own.parse::<IpAddr>().is_err());
        names.map(|own| format!("{label}.{own}")).collect()
    }

    /// The application's name, when the host is a sub-domain of one of ours.
    pub(crate) fn label<'a>(&self, host: &'a str) -> Option<&'a str> {
        let (label, parent) = host.split_once('.')?;
        self.0.iter().any(|own| own == parent).then_some(label)
    }
}

/// The host of an authority (`host`, `host:port`, `[address]:port`), lower case, without a closing dot; none when it is
/// no authority.
pub(crate) fn host(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(host)?
        }
        None => match authority.split_once(':') {
            Some((host, port)) => is_port(port).then_some(host)?,
            None => authority,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > LONGEST {
        return None;
    }
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (!host.is_empty() && host.bytes().all(is_fine)).then(|| host.to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&[Address::new("Proxy.example", 443), Address::new("p2.example", 3080)])
    }

    #[test]
    fn every_other_host_is_an_application() {
        for own in
            ["proxy.example", "p2.example", "localhost", "127.0.0.1", "::1", "[::1]", "teleport.cluster.local", ""]
        {
            assert!(!names().is_application(own), "{own}");
        }
        for application in ["grafana.proxy.example", "app.internal", "xteleport.cluster.local", "example"] {
            assert!(names().is_application(application), "{application}");
        }
        assert!(!Names::new(&[]).is_application("anything"), "a proxy without a name has no sub-domains");
    }

    #[test]
    fn a_label_is_one_label_below_one_of_ours() {
        assert_eq!(names().label("grafana.proxy.example"), Some("grafana"));
        assert_eq!(names().label("a.b.proxy.example"), None);
        assert_eq!(names().label("proxy.example"), None);
        assert_eq!(names().label("grafana.evil.example"), None);
    }

    #[test]
    fn hosts_are_read_from_authorities() {
        for (authority, expect) in [
            ("App.example", Some("app.example")),
            ("app.example:443", Some("app.example")),
            ("app.example.", Some("app.example")),
            ("[::1]:3080", Some("::1")),
            ("[::1]", Some("::1")),
            ("", None),
            ("a:b", None),
            ("a:1:2", None),
            ("user@app.example", None),
            ("app.example/x", None),
            ("app.example:443\\@evil", None),
            ("[::1", None),
            ("[app.example]:443", None),
            ("app.example:+443", None),
            (&"a".repeat(254), None),
        ] {
            assert_eq!(host(authority).as_deref(), expect, "{authority}");
        }
    }
}
