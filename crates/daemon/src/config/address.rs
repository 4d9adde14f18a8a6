//! Network addresses as the file writes them.

use std::fmt;

use serde::{Serialize, Serializer};

/// `host:port`; the host is a name or an IP address (IPv6 in brackets when shown).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A DNS name or an IP address without brackets.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, `host`, `[::1]:3025`, `::1`, `:3025` (all interfaces) or `tcp://host:port`.
    ///
    /// # Errors
    /// A sentence that says what an address must look like.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let wrong = || format!("must be host:port, found \"{text}\"");
        let rest = ["tcp://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                (host, port.strip_prefix(':'))
            }
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default_port), str::parse).map_err(|_| wrong())?;
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '"')) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_shape() {
        for (text, expected) in [
            ("0.0.0.0:3025", "0.0.0.0:3025"),
            ("auth.example.com", "auth.example.com:3025"),
            (":4025", "0.0.0.0:4025"),
            ("[::1]:7", "[::1]:7"),
            ("::1", "[::1]:3025"),
            ("tcp://10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(Address::parse(text, 3025).unwrap().to_string(), expected, "{text}");
        }
        for text in ["host:port", "a b:1", "host:99999", "[::1"] {
            assert!(Address::parse(text, 3025).is_err(), "{text}");
        }
    }
}
