//! Headers of requests: which ones nobody but us may set, and what we set. What a proxy and an agent agree on is in
//! [`tunnel::headers`].

use std::net::{IpAddr, SocketAddr};

use domain::resources::app::is_reserved_header as is_reserved;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, HOST, SET_COOKIE},
};
pub(crate) use tunnel::headers::{HOP, REQUEST_ID, SESSION_COOKIES, strip_hop_by_hop, upgrade};

/// The header with the assertion.
pub(crate) const ASSERTION: HeaderName = HeaderName::from_static("teleport-jwt-assertion");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What [`Via::tell`] sets or takes away: the proxy has said the same, so that it is there in nearly each request.
const TOLD: [HeaderName; 6] = [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_PORT, FORWARDED_SSL, REAL_IP];

/// How the request got to the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Via {
    /// Where the client is: an address.
    client: Option<HeaderValue>,
    /// What the client asked for, `host` or `host:port`.
    host: Option<HeaderValue>,
    /// The proxy's port, whatever the client wrote behind its host.
    port: Option<HeaderValue>,
    /// The request's id.
    id: Option<HeaderValue>,
}

impl Via {
    /// What the proxy says. It alone holds the session's key and has overwritten what the client wrote here; even so
    /// nothing but an address is taken for one. `source` is where the stream was opened for.
    pub(crate) fn read(headers: &HeaderMap, authority: Option<&str>, source: Option<SocketAddr>) -> Self {
        let is_id = |id: &&HeaderValue| id.len() <= 64 && id.as_bytes().iter().all(u8::is_ascii_hexdigit);
        let is_port = |port: &&HeaderValue| {
            port.as_bytes().iter().all(u8::is_ascii_digit)
                && port.to_str().is_ok_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        let host = match authority {
            Some(authority) => HeaderValue::from_str(authority).ok(),
            None => headers.get(HOST).filter(|host| host.to_str().is_ok()).cloned(),
        };
        Self {
            client: headers
                .get(FORWARDED_FOR)
                .and_then(address)
                .or_else(|| source.and_then(|source| said(source.ip()))),
            host: host.filter(|host| !host.is_empty()),
            port: headers.get(FORWARDED_PORT).filter(is_port).cloned(),
            id: headers.get(&REQUEST_ID).filter(is_id).cloned(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        text(&self.host)
    }

    pub(crate) fn id(&self) -> &str {
        text(&self.id)
    }

    /// Makes the headers of a request those that an application gets: without what only we may set, and with where the
    /// request comes from.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.remove(&REQUEST_ID);
        // What is set below need not be taken away first.
        strip(headers, |name| is_reserved(name.as_str()) && !TOLD.contains(name));
        let mut set = |name: HeaderName, value: Option<HeaderValue>| match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        };
        set(FORWARDED_FOR, self.client.clone());
        set(REAL_IP, self.client.clone());
        set(FORWARDED_HOST, self.host.clone());
        set(FORWARDED_PROTO, Some(HeaderValue::from_static("https")));
        set(FORWARDED_SSL, Some(HeaderValue::from_static("on")));
        set(FORWARDED_PORT, Some(self.port.clone().unwrap_or(HeaderValue::from_static("443"))));
    }
}

fn text(value: &Option<HeaderValue>) -> &str {
    value.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The value, if it is an address; in its usual spelling.
fn address(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    match text.trim().parse().ok()? {
        IpAddr::V4(_) if text.trim().len() == text.len() => Some(value.clone()),
        address => said(address),
    }
}

fn said(address: IpAddr) -> Option<HeaderValue> {
    HeaderValue::from_str(&address.to_canonical().to_string()).ok()
}

/// Whether an application that knows the scheme takes whatever comes over the same connection for requests of the same
/// user (RFC 4559 §6). The connection must then carry nobody else's: users share those to an application.
pub(crate) fn authenticates_connection(headers: &HeaderMap) -> bool {
    let is_one = |credentials: &[u8]| {
        let scheme = credentials.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    };
    headers.get_all(AUTHORIZATION).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_one))
}

/// Takes away what only we may set, and the cookies that are the proxy's.
pub(crate) fn strip_reserved(headers: &mut HeaderMap) {
    strip(headers, |name| is_reserved(name.as_str()));
}

fn strip(headers: &mut HeaderMap, is_ours: impl Fn(&HeaderName) -> bool) {
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    if headers.get_all(COOKIE).iter().any(|value| find(value.as_bytes(), SESSION_COOKIES.as_bytes())) {
        let cookies: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without_session).collect();
        headers.remove(COOKIE);
        for cookie in cookies {
            headers.append(COOKIE, cookie);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The cookies of one header without ours; none when nothing is left.
fn without_session(value: &HeaderValue) -> Option<HeaderValue> {
    if !find(value.as_bytes(), SESSION_COOKIES.as_bytes()) {
        return Some(value.clone());
    }
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let rest: Vec<&str> = text.split(';').map(str::trim).filter(|one| !one.starts_with(SESSION_COOKIES)).collect();
    if rest.is_empty() { None } else { HeaderValue::from_str(&rest.join("; ")).ok() }
}

/// Takes away what an application must not say in an answer: what we say to the proxy, and what makes a browser show the
/// proxy another session than its own.
pub(crate) fn strip_ours(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-teleport-") || **name == ASSERTION)
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    if headers.get_all(SET_COOKIE).iter().any(sets_session) {
        let cookies: Vec<HeaderValue> =
            headers.get_all(SET_COOKIE).iter().filter(|cookie| !sets_session(cookie)).cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// Whether a cookie comes back under a name of ours. One without a name comes back as its value alone, which may look like
/// a name and a value; not all browsers refuse that.
fn sets_session(cookie: &HeaderValue) -> bool {
    let shown = cookie.as_bytes().iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'='));
    let name = shown.and_then(|at| cookie.as_bytes().get(at..at + SESSION_COOKIES.len()));
    name.is_some_and(|name| name.eq_ignore_ascii_case(SESSION_COOKIES.as_bytes()))
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
            "x-original-forwarded-for",
            "teleport-user",
        ] {
            let mut headers = map(&[(name, "evil"), ("accept", "text/html")]);
            let mut told = headers.clone();
            strip_reserved(&mut headers);
            assert_eq!(headers, map(&[("accept", "text/html")]), "{name}");
            Via::read(&told, None, None).tell(&mut told);
            assert!(told.values().all(|value| value != "evil"), "{told:?}");
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
    fn an_application_sets_no_cookie_of_the_proxys() {
        for (cookie, is_kept) in [
            ("a=b; Path=/", true),
            ("x__Host-grv_app_session=mine", true),
            ("a=__Host-grv_app_session=mine", true),
            ("__Host-grv_app_session=evil; Path=/; Secure", false),
            ("__host-GRV_app_session_subject=evil", false),
            ("=__Host-grv_app_session=evil; Domain=proxy.example", false),
            (" =\t__Host-grv_app_session=evil; Domain=proxy.example", false),
            ("__Host-grv_app_session", false),
        ] {
            let mut headers = map(&[("set-cookie", "kept=1")]);
            headers.append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
            strip_ours(&mut headers);
            assert_eq!(headers.get_all(SET_COOKIE).iter().count(), 1 + usize::from(is_kept), "{cookie}");
            assert_eq!(headers[SET_COOKIE], "kept=1");
        }
    }

    #[test]
    fn where_it_comes_from_is_told_by_us() {
        let source = Some("192.0.2.1:9".parse().unwrap());
        for (told, expect) in [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:DB8::0:1", "2001:db8::1"),
            ("1.2.3.4, 5.6.7.8", "192.0.2.1"),
            ("evil", "192.0.2.1"),
        ] {
            let mut headers = map(&[
                ("x-forwarded-for", told),
                ("x-forwarded-port", "3080"),
                ("host", "app.example:1"),
                ("x-teleport-request-id", "ab12"),
            ]);
            let via = Via::read(&headers, None, source);
            via.tell(&mut headers);
            assert!(!headers.contains_key(REQUEST_ID));
            assert_eq!((headers[FORWARDED_FOR].to_str().unwrap(), via.id()), (expect, "ab12"));
            assert_eq!(
                (&headers[FORWARDED_HOST], &headers[FORWARDED_PORT]),
                (&"app.example:1".parse().unwrap(), &"3080".parse().unwrap())
            );
            assert_eq!(
                (&headers[FORWARDED_PROTO], &headers[FORWARDED_SSL]),
                (&"https".parse().unwrap(), &"on".parse().unwrap())
            );
        }
    }

    #[test]
    fn a_port_is_a_number_that_the_proxy_says() {
        for (told, expect) in
            [("8443", "8443"), ("+80", "443"), ("0", "443"), ("70000", "443"), ("", "443"), ("x", "443")]
        {
            let mut headers = map(&[("x-forwarded-port", told), ("host", "app.example:1")]);
            Via::read(&headers, None, None).tell(&mut headers);
            assert_eq!(headers[FORWARDED_PORT], expect, "{told}");
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
            headers.insert(http::header::CONNECTION, HeaderValue::from_str(&connection).unwrap());
            strip_hop_by_hop(&mut headers);
            strip_reserved(&mut headers);
            prop_assert!(headers.is_empty());
        }
    }
}
