//! Headers of requests: which ones end here, which ones nobody but us may set, and what we set.

use std::net::{IpAddr, SocketAddr};

pub(crate) use domain::resources::app::is_reserved_header as is_reserved;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

/// The header with the assertion.
pub(crate) const ASSERTION: HeaderName = HeaderName::from_static("teleport-jwt-assertion");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What the proxy calls a request, for logs and error pages.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-teleport-request-id");

/// Cookies with which a browser shows a session to the proxy: bearer secrets that no application may see.
const SESSION_COOKIES: &str = "__Host-grv_app_";

/// How the request got to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Via {
    /// Where the client is.
    pub(crate) client: Option<IpAddr>,
    /// What the client asked for, `host` or `host:port`.
    pub(crate) host: String,
    /// The request's id.
    pub(crate) id: String,
}

impl Via {
    /// What the proxy says. It alone holds the session's key and has overwritten what the client wrote here; even so
    /// nothing but an address is taken for one. `source` is where the stream was opened for.
    pub(crate) fn read(headers: &HeaderMap, authority: Option<&str>, source: Option<SocketAddr>) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let told = text(&FORWARDED_FOR).and_then(|client| client.parse().ok());
        let id = text(&REQUEST_ID).filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Self {
            client: told.or(source.map(|source| source.ip())),
            host: authority.or(text(&HOST)).unwrap_or_default().to_owned(),
            id: id.unwrap_or_default().to_owned(),
        }
    }
}

/// Takes away what only we may set, and the cookies that are the proxy's.
pub(crate) fn strip_reserved(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> = headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
    let cookies: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without_session).collect();
    headers.remove(COOKIE);
    for cookie in cookies {
        headers.append(COOKIE, cookie);
    }
}

/// The cookies of one header without ours; none when nothing is left.
fn without_session(value: &HeaderValue) -> Option<HeaderValue> {
    let ours = SESSION_COOKIES.as_bytes();
    if !value.as_bytes().windows(ours.len()).any(|window| window == ours) {
        return Some(value.clone());
    }
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let rest: Vec<&str> = text.split(';').map(str::trim).filter(|one| !one.starts_with(SESSION_COOKIES)).collect();
    if rest.is_empty() { None } else { HeaderValue::from_str(&rest.join("; ")).ok() }
}

/// Takes away what is about one connection only (RFC 9110 §7.6.1). What `Connection` names goes too, except that the
/// client cannot make us drop what we set: this is done first. A wish to upgrade is returned.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    let upgrade = named.contains(&UPGRADE).then(|| foreign_protocol(headers)).flatten();
    let wants_trailers = headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    for name in named {
        headers.remove(name);
    }
    // What came in chunks has no length, whatever else was said (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    for name in [TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// What of one connection has no name of its own in the library.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "http2-settings"];

/// The one protocol that is to be spoken from here on, unless it carries requests: those would reach the application with
/// headers that nobody has looked at.
fn foreign_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (only, second) = (protocols.next()?, protocols.next());
    let name = only.as_bytes().to_ascii_lowercase();
    let is_one = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    let carries_requests = ["h2", "h3", "http", "tls"].iter().any(|ours| name.starts_with(ours.as_bytes()));
    (second.is_none() && is_one && !name.is_empty() && !carries_requests).then(|| only.clone())
}

/// Says where the request comes from.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, via: &Via) {
    let mut set = |name: HeaderName, value: &str| match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => drop(headers.insert(name, value)),
        _ => drop(headers.remove(name)),
    };
    let client = via.client.map(|client| client.to_canonical().to_string()).unwrap_or_default();
    set(FORWARDED_FOR, &client);
    set(REAL_IP, &client);
    set(FORWARDED_HOST, &via.host);
    set(FORWARDED_PROTO, "https");
    set(FORWARDED_SSL, "on");
    set(FORWARDED_PORT, port(&via.host));
}

fn port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => port,
        _ => "443",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn nothing_reserved_passes_from_the_client() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-user",
            "x_forwarded_for",
            "x.forwarded.for",
            "x-teleport-anything",
            "x_teleport-hop",
            "teleport-jwt-assertion",
            "teleport_jwt_assertion",
            "cf-access-token",
            "forwarded",
            "x-real-ip",
            "x_real_ip",
        ] {
            let mut headers = map(&[(name, "evil"), ("accept", "text/html")]);
            strip_reserved(&mut headers);
            assert_eq!(headers, map(&[("accept", "text/html")]), "{name}");
        }
    }

    #[test]
    fn the_proxys_cookies_stay_with_the_proxy() {
        for (cookie, expect) in [
            ("a=b", Some("a=b")),
            ("a=b; __Host-grv_app_session=secret; c=d", Some("a=b; c=d")),
            ("__Host-grv_app_session=secret;__Host-grv_app_session_subject=x", None),
            ("x__Host-grv_app_session=mine", Some("x__Host-grv_app_session=mine")),
        ] {
            let mut headers = map(&[("cookie", cookie)]);
            strip_reserved(&mut headers);
            assert_eq!(headers.get(COOKIE).map(|value| value.to_str().unwrap()), expect, "{cookie}");
        }
    }

    #[test]
    fn what_is_about_one_connection_ends_here() {
        let mut headers = map(&[
            ("connection", "Upgrade, X-Private"),
            ("upgrade", "websocket"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "Basic x"),
            ("accept", "*/*"),
        ]);
        assert_eq!(strip_hop_by_hop(&mut headers).unwrap(), "websocket");
        assert_eq!(headers, map(&[("accept", "*/*"), ("te", "trailers")]));
        let mut headers = map(&[("upgrade", "h2c"), ("te", "gzip")]);
        assert_eq!(strip_hop_by_hop(&mut headers), None);
        assert!(headers.is_empty());
        let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn no_protocol_that_carries_requests_is_begun() {
        for (protocol, is_begun) in [
            ("websocket", true),
            ("SPDY/3.1", true),
            ("tcp", true),
            ("h2c", false),
            ("H2C", false),
            ("websocket, h2c", false),
            ("tls/1.2", false),
            ("HTTP/2.0", false),
        ] {
            let mut headers =
                map(&[("connection", "upgrade, http2-settings"), ("upgrade", protocol), ("http2-settings", "A")]);
            assert_eq!(strip_hop_by_hop(&mut headers).is_some(), is_begun, "{protocol}");
            assert!(headers.is_empty(), "{protocol}");
        }
    }

    #[test]
    fn where_it_comes_from_is_told_by_us() {
        let source = Some("192.0.2.1:9".parse().unwrap());
        for (told, expect) in
            [("198.51.100.7", "198.51.100.7"), ("1.2.3.4, 5.6.7.8", "192.0.2.1"), ("evil", "192.0.2.1")]
        {
            let mut headers =
                map(&[("x-forwarded-for", told), ("host", "app.example:8443"), ("x-teleport-request-id", "ab12")]);
            let via = Via::read(&headers, None, source);
            strip_reserved(&mut headers);
            set_forwarded(&mut headers, &via);
            assert_eq!((headers[FORWARDED_FOR].to_str().unwrap(), via.id.as_str()), (expect, "ab12"));
            assert_eq!(
                (&headers[FORWARDED_HOST], &headers[FORWARDED_PORT]),
                (&"app.example:8443".parse().unwrap(), &"8443".parse().unwrap())
            );
            assert_eq!(
                (&headers[FORWARDED_PROTO], &headers[FORWARDED_SSL]),
                (&"https".parse().unwrap(), &"on".parse().unwrap())
            );
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_reserved_name_gets_through(
            name in "[xX][-_]([fF][oO]rwarded|[tT]eleporT)[-_][a-zA-Z]{1,8}|[tT]eleport[-_][jJ]wt[-_]assertioN",
            connection in "[ -~]{0,40}",
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("evil"));
            headers.insert(CONNECTION, HeaderValue::from_str(&connection).unwrap());
            strip_hop_by_hop(&mut headers);
            strip_reserved(&mut headers);
            prop_assert!(headers.is_empty());
        }
    }
}
