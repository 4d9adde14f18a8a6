//! What proxies and agents agree on in the requests to applications that they carry: names, and what is about one
//! connection only.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

/// What is spoken in a stream to an application: in TLS (ALPN), or after a proof.
pub mod protocol {
    /// Requests, one after another.
    pub const HTTP_1_1: &str = "http/1.1";
    /// Requests side by side, with trailers.
    pub const HTTP_2: &str = "h2";
    /// The bytes of a TCP application.
    pub const TCP: &str = "teleport-tcp";
}

/// Tells the proxy that an answer is not the application's, and who made it: `agent`, `application` (the way to it),
/// `agent-hosts` (the agent may not dial it) or `session` (which is over). A 403 of `agent` is about the certificate. The proxy
/// says it on to whoever holds a certificate, where he can do something about it: with 403, and with 503 (`auth`: the cluster
/// cannot say whether there is a session), after which the same may be asked again.
pub const HOP: HeaderName = HeaderName::from_static("x-teleport-hop");

/// What the proxy calls a request, for logs and error pages.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-teleport-request-id");

/// How the cookies begin with which a browser shows a session to the proxy: bearer secrets that no application may see,
/// and that none may set.
pub const SESSION_COOKIES: &str = "__Host-grv_app_";

/// Headers that concern one connection only (RFC 9110 §7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes the headers of one connection off a message that goes on over another. Of `TE` the one word stays that says
/// something about the client itself: that it reads trailers.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            // Who could name these would make the request mean something else behind us; the last is looked at below.
            .filter(|name| ![HOST, CONTENT_LENGTH, COOKIE, TE].contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    // What came in chunks has no length, whatever else was said (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if headers.contains_key(TE) {
        let trailers = reads_trailers(headers);
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Whether who asks reads trailers, as gRPC does.
pub fn reads_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// What is to be spoken from here on, when that is asked for, and one thing only. Another HTTP or TLS beneath ours is not
/// begun: the requests in it would reach the application with headers that nobody has looked at.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (only, second) = (protocols.next()?, protocols.next());
    let is_wanted = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    (is_wanted && second.is_none() && is_foreign(only)).then(|| only.clone())
}

/// Whether this is the name of one protocol, and of none that carries requests.
fn is_foreign(protocol: &HeaderValue) -> bool {
    let name = protocol.as_bytes();
    let is_one = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    let begins = |ours: &[u8]| name.len() >= ours.len() && name[..ours.len()].eq_ignore_ascii_case(ours);
    is_one && !name.is_empty() && ![&b"h2"[..], b"h3", b"http", b"tls"].into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        headers.iter().map(pair).collect()
    }

    #[test]
    fn what_is_about_one_connection_ends_here() {
        let mut headers = map(&[
            ("connection", "Upgrade, X-Private, Cookie, Host, TE"),
            ("upgrade", "websocket"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "Basic x"),
            ("accept", "*/*"),
            ("cookie", "a=b"),
            ("host", "a.example"),
        ]);
        assert_eq!(upgrade(&headers).unwrap(), "websocket");
        strip_hop_by_hop(&mut headers);
        let expect = [("accept", "*/*"), ("te", "trailers"), ("cookie", "a=b"), ("host", "a.example")];
        assert_eq!(headers, map(&expect));
        for gone in [
            &[("upgrade", "h2c"), ("te", "gzip")][..],
            &[("transfer-encoding", "chunked"), ("content-length", "5")],
            &[("connection", "close, x-a"), ("x-a", "1")],
        ] {
            let mut headers = map(gone);
            assert_eq!(upgrade(&headers), None);
            strip_hop_by_hop(&mut headers);
            assert!(headers.is_empty(), "{headers:?}");
        }
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
            let headers = map(&[("connection", "upgrade, http2-settings"), ("upgrade", protocol)]);
            assert_eq!(upgrade(&headers).is_some(), is_begun, "{protocol}");
            assert_eq!(upgrade(&map(&[("upgrade", protocol)])), None, "nobody asked");
        }
    }
}
