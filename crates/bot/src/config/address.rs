//! Addresses: of servers, and of listeners on this machine.

/// Whether this is a server's address as people write it: `host`, `host:port`, with a scheme or without.
pub(super) fn check_server(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{text:?} is no address: {why}; write host:port, such as example.com:443"));
    let bare = ["tcp://", "https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    let (host, port) = match bare.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => return wrong("a bracket is not closed"),
        },
        None if bare.matches(':').count() > 1 => (bare, None),
        None => bare.split_once(':').map_or((bare, None), |(host, port)| (host, Some(port))),
    };
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return wrong("a port is a number from 1 to 65535");
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
    match host {
        "" => wrong("the host is missing"),
        host if !host.chars().all(is_fine) => wrong("a host has letters, digits, '-' and '.' only"),
        _ => Ok(()),
    }
}

/// Whether one can listen there: `tcp://address:port` or `unix:///path`.
pub(super) fn check_listener(uri: &str) -> Result<(), String> {
    if let Some(path) = uri.strip_prefix("unix://") {
        return match path.starts_with('/') {
            true => Ok(()),
            false => Err(format!("{uri:?} has no absolute path; write unix:///run/app.sock")),
        };
    }
    let Some(address) = uri.strip_prefix("tcp://") else {
        let meant = if check_listener(&format!("tcp://{uri}")).is_ok() { uri } else { "127.0.0.1:1234" };
        return Err(format!("must be tcp://address:port or unix:///path, found {uri:?}; write tcp://{meant}"));
    };
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    if port.parse::<u16>().is_err() {
        return Err(format!("{uri:?} has no port from 0 to 65535; write tcp://{}:1234", host.trim_end_matches(':')));
    }
    match host {
        "" => Err(format!("{uri:?} does not say where; write tcp://127.0.0.1:{port} (this machine only)")),
        host if host.contains(':') && !host.starts_with('[') => {
            Err(format!("{uri:?}: write an IPv6 address in brackets, tcp://[::1]:{port}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for good in ["a", "a.example:443", "https://a.example", "tcp://a:1/", "[::1]:3025", "::1", "10.0.0.1:3025"] {
            check_server(good).unwrap();
        }
        for bad in ["proxy.example:30800000", "a:0", "a:", ":443", "a b:1", "https://", "[::1", "a/b:1", "user@a:1"] {
            let refused = check_server(bad).unwrap_err();
            assert!(refused.contains("host:port"), "{refused}");
        }
    }

    #[test]
    fn addresses_of_listeners() {
        for good in ["tcp://127.0.0.1:1234", "tcp://localhost:0", "tcp://[::1]:1", "unix:///run/x"] {
            check_listener(good).unwrap();
        }
        for (bad, advice) in [
            ("127.0.0.1:1234", "write tcp://127.0.0.1:1234"),
            ("tcp://", "port"),
            ("tcp://127.0.0.1", "write tcp://127.0.0.1:1234"),
            ("tcp://127.0.0.1:99999", "65535"),
            ("tcp://:1234", "write tcp://127.0.0.1:1234"),
            ("tcp://::1:80", "tcp://[::1]:80"),
            ("unix://run/x", "absolute"),
            ("80", "tcp://127.0.0.1:1234"),
        ] {
            let refused = check_listener(bad).unwrap_err();
            assert!(refused.contains(advice), "{refused}");
        }
    }
}
