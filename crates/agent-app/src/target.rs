//! Where an application is: its `uri`, taken apart.

use domain::{Error, error::Kind};
use http::{
    HeaderValue, Uri,
    uri::{self, Authority},
};

/// How an application is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    Tcp,
    /// The debug application, which is no connection at all.
    Dumper,
}

/// Where an application is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// The port; of a TCP application with several ports there may be none.
    pub(crate) port: Option<u16>,
    /// `host` or `host:port` as the application knows itself.
    pub(crate) authority: Authority,
    /// The same as a `Host` header: without the port that goes without saying.
    pub(crate) host_header: HeaderValue,
    /// Path, query and fragment that a request to `/` is sent to.
    pub(crate) landing: Option<String>,
}

impl Target {
    /// Takes `spec.uri` apart.
    ///
    /// # Errors
    /// It is no address, or of a kind that this agent does not serve.
    pub(crate) fn parse(uri: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::invalid(format!("spec.uri: {uri:?} {reason}"));
        let no_address = "is no address, write for example http://localhost:8080";
        let (scheme, _) = uri.split_once("://").ok_or_else(|| refuse(no_address))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tcp" => Scheme::Tcp,
            other => {
                let message = format!("spec.uri: applications with {other}:// are not served by this version");
                return Err(Error { kind: Kind::Unsupported, ..Error::invalid(message) });
            }
        };
        let (bare, fragment) = uri.split_once('#').map_or((uri, None), |(bare, fragment)| (bare, Some(fragment)));
        let parsed: Uri = bare.parse().map_err(|_| refuse(no_address))?;
        let authority = parsed.authority().ok_or_else(|| refuse("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("must not carry a password"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match (authority.port_u16(), scheme) {
            (Some(port @ 1..), _) => Some(port),
            _ if has_port => return Err(refuse("has a bad port")),
            (None, Scheme::Http) => Some(80),
            (None, Scheme::Https) => Some(443),
            _ => None,
        };
        let path = parsed.path_and_query().map_or("/", |path| path.as_str());
        let landing = match fragment {
            Some(fragment) => Some(format!("{path}#{fragment}")),
            None if path == "/" || path.is_empty() => None,
            None => Some(path.to_owned()),
        };
        let is_usual = matches!((scheme, port), (Scheme::Http, Some(80)) | (Scheme::Https, Some(443)));
        let shown = if is_usual { authority.host() } else { authority.as_str() };
        let host_header = HeaderValue::from_str(shown).map_err(|_| refuse("names a host that cannot be asked for"))?;
        Ok(Self { scheme, host, port, authority: authority.clone(), host_header, landing })
    }

    /// The debug application.
    pub(crate) fn dumper() -> Self {
        Self {
            scheme: Scheme::Dumper,
            host: String::new(),
            port: None,
            authority: Authority::from_static("dumper"),
            host_header: HeaderValue::from_static("dumper"),
            landing: None,
        }
    }

    /// What the application's address begins with.
    pub(crate) fn url_scheme(&self) -> uri::Scheme {
        if self.scheme == Scheme::Https { uri::Scheme::HTTPS } else { uri::Scheme::HTTP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (uri, scheme, host, port, landing) in [
            ("http://localhost:8080", Scheme::Http, "localhost", Some(8080), None),
            ("http://localhost", Scheme::Http, "localhost", Some(80), None),
            ("https://[::1]:9/", Scheme::Https, "::1", Some(9), None),
            ("https://a.b/c?d=e", Scheme::Https, "a.b", Some(443), Some("/c?d=e")),
            ("http://a.b/#home", Scheme::Http, "a.b", Some(80), Some("/#home")),
            ("http://a.b#home", Scheme::Http, "a.b", Some(80), Some("/#home")),
            ("tcp://db:5432", Scheme::Tcp, "db", Some(5432), None),
            ("tcp://db", Scheme::Tcp, "db", None, None),
        ] {
            let target = Target::parse(uri).unwrap();
            assert_eq!(
                (target.scheme, target.host.as_str(), target.port, target.landing.as_deref()),
                (scheme, host, port, landing),
                "{uri}"
            );
        }
        for (uri, shown) in
            [("http://a:80", "a"), ("https://a:443", "a"), ("https://a:80", "a:80"), ("http://[::1]:443", "[::1]:443")]
        {
            assert_eq!(Target::parse(uri).unwrap().host_header, shown);
        }
        for bad in [
            "",
            "http",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://u:p@a",
            "mcp+stdio://",
            "cloud://AWS",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
