//! The way of somebody without a good certificate: from an application to the login page, and never anywhere else.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header::LOCATION};

use crate::{Proxy, body::Body, names, pages};

/// Tells the holder of a certificate that we, and not the application, lead to the login page: what applications say under
/// this name, agents take off.
const LOGIN: HeaderName = HeaderName::from_static("x-teleport-login");

/// The longest query, encoded, that is carried along: no client reads a header of any length.
const LONGEST_QUERY: usize = 4 * 1024;

/// Leads from an application's host to our own launch page.
pub(crate) fn redirect(proxy: &Arc<Proxy>, host: &str, uri: &Uri) -> Response<Body> {
    let (path, query) = (encoded(uri.path()), encoded(uri.query().unwrap_or_default()));
    to_launch(proxy, host, &format!("path={path}&query={query}"))
}

/// The same, with a query that is encoded already.
pub(crate) fn to_launch(proxy: &Arc<Proxy>, host: &str, query: &str) -> Response<Body> {
    let Some(own) = proxy.config.public_addresses.first() else {
        return pages::plain(StatusCode::FORBIDDEN, "a client certificate for this application is required\n");
    };
    let query = if query.len() <= LONGEST_QUERY { query } else { "" };
    let mut response = found(&format!("https://{}/web/launch/{}?{query}", own.authority(), encoded(host)));
    response.headers_mut().insert(LOGIN, HeaderValue::from_static("required"));
    response
}

/// `/web/launch/<host>[/…]`: leads to the login page. The host is told there, and nothing is sent to it.
pub(crate) fn launch(rest: &str) -> Response<Body> {
    let host = rest.split('/').next().unwrap_or_default();
    match names::host(host) {
        Some(host) => found(&format!("/web/login?application={}", encoded(&host))),
        None => found("/web/login"),
    }
}

/// 302 to a place of our own.
fn found(location: &str) -> Response<Body> {
    let mut response = pages::plain(StatusCode::FOUND, "a sign-in is required\n");
    // What is in it was encoded, or is configured.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Percent-encoded, all but the unreserved (RFC 3986 §2.3).
pub(crate) fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            safe.push('%');
            safe.push_str(&crypto::hash::hex(&[byte]).to_ascii_uppercase());
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_leads_to_our_own_login_page_and_nowhere_else() {
        for (rest, expect) in [
            ("grafana.proxy.example", "/web/login?application=grafana.proxy.example"),
            ("grafana.proxy.example/cluster/addr", "/web/login?application=grafana.proxy.example"),
            ("evil.example%2f..", "/web/login"),
            ("//evil.example", "/web/login"),
            ("user@evil.example", "/web/login"),
            ("evil.example\\x", "/web/login"),
            ("a?b", "/web/login"),
            ("", "/web/login"),
        ] {
            let response = launch(rest);
            assert_eq!(response.status(), StatusCode::FOUND);
            assert_eq!(response.headers()[LOCATION], expect, "{rest}");
        }
    }

    #[test]
    fn what_is_encoded_cannot_end_a_value() {
        assert_eq!(encoded("/a b?c=d&e=f#\r\n%"), "%2Fa%20b%3Fc%3Dd%26e%3Df%23%0D%0A%25");
    }
}
