//! What of a request is taken from a client, and what is not: whom it is for, and which headers go on.

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::names;

/// What tells the agent, and the error page, which request it was.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-teleport-request-id");

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host, lower case, without port.
    pub(crate) host: String,
    /// As the client wrote it.
    pub(crate) authority: HeaderValue,
}

/// Whom a request is for; `server_name` is what the connection was opened for.
///
/// # Errors
/// 400 when it names nobody, or two; 421 (RFC 9110 §15.5.20) when it is for another host than the connection: each host
/// has its own rules about client certificates, and a browser opens another connection then.
pub(crate) fn target<B>(request: &Request<B>, server_name: Option<&str>) -> Result<Target, StatusCode> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (header, second) = (hosts.next(), hosts.next());
    let uri = request.uri();
    let is_authority_alone = uri.scheme().is_none() && uri.authority().is_some();
    if second.is_some() || request.method() == Method::CONNECT || is_authority_alone {
        return Err(StatusCode::BAD_REQUEST);
    }
    let authority = match (uri.authority(), header) {
        (Some(of_uri), Some(header)) if !header.as_bytes().eq_ignore_ascii_case(of_uri.as_str().as_bytes()) => {
            return Err(StatusCode::BAD_REQUEST);
        }
        (_, Some(header)) => header.clone(),
        // HTTP/1.1 demands the header, whatever the request line says (RFC 9112 §3.2.2).
        (Some(of_uri), None) if request.version() == Version::HTTP_2 => {
            HeaderValue::from_str(of_uri.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?
        }
        (_, None) => return Err(StatusCode::BAD_REQUEST),
    };
    let host = authority.to_str().ok().and_then(names::host).ok_or(StatusCode::BAD_REQUEST)?;
    match server_name {
        Some(name) if name.strip_suffix('.').unwrap_or(name) != host => Err(StatusCode::MISDIRECTED_REQUEST),
        _ => Ok(Target { host, authority }),
    }
}

/// Whether it is certain where a request ends. Somebody before us may have read another length, or none, in a request
/// that names two or a coding that he does not know, and then what we take for its end begins another one (RFC 9112 §11.2).
pub(crate) fn has_one_length(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked") && !headers.contains_key(CONTENT_LENGTH),
        _ => false,
    }
}

/// Whether a client may not send this header to an application: we and the agent say it.
fn is_ours(name: &str) -> bool {
    // Some applications cannot tell a `_` from a `-` (CGI, RFC 3875 §4.1.18), others no sign from another, so that none
    // may pass for the other.
    const PREFIXES: [&str; 3] = ["x-teleport-", "teleport-", "x-forwarded-"];
    const NAMES: [&str; 4] = ["cf-access-token", "x-real-ip", "forwarded", "x-original-forwarded-for"];
    let same = |letter: u8, expect: u8| letter == expect || expect == b'-' && !letter.is_ascii_alphanumeric();
    let begins = |start: &str| name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(a, b)| same(a, b));
    PREFIXES.iter().any(|prefix| begins(prefix)) || NAMES.iter().any(|own| own.len() == name.len() && begins(own))
}

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

/// Takes the headers of one connection off a message that goes on over another.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // Who could name these would make the request mean something else behind us.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH && *name != COOKIE)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What the client wants to speak from here on, when it asks for that, and for one thing only. Another HTTP or TLS beneath
/// ours is not begun: the requests in it would reach the application with headers that nobody has looked at.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (only, second) = (protocols.next()?, protocols.next());
    (wants && second.is_none() && is_foreign(only)).then(|| only.clone())
}

/// Whether this is the name of one protocol, and of none that carries requests.
fn is_foreign(protocol: &HeaderValue) -> bool {
    let name = protocol.as_bytes().to_ascii_lowercase();
    let is_one = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    is_one && !name.is_empty() && !["h2", "h3", "http", "tls"].iter().any(|ours| name.starts_with(ours.as_bytes()))
}

/// Whether the client reads trailers, as gRPC does.
pub(crate) fn reads_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// Makes a client's headers those of a request to an agent.
pub(crate) fn to_agent(headers: &mut HeaderMap, trailers: bool) {
    strip_hop_by_hop(headers);
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // The client was answered by us.
    headers.remove(EXPECT);
    headers.remove(FORWARDED);
    if headers.keys().any(|name| is_ours(name.as_str())) {
        let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
    }
    if headers.contains_key(COOKIE) {
        strip_cookies(headers);
    }
}

/// Our own cookies are credentials of the proxy: an application that read them could use them.
fn strip_cookies(headers: &mut HeaderMap) {
    let is_ours = |pair: &str| pair.trim_start().starts_with("__Host-grv_app_");
    let has_ours = |value: &HeaderValue| match value.to_str() {
        Ok(text) => text.split(';').any(is_ours),
        Err(_) => value.as_bytes().windows(15).any(|window| window == b"__Host-grv_app_"),
    };
    if !headers.get_all(COOKIE).iter().any(has_ours) {
        return;
    }
    let kept: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter(|pair| !is_ours(pair) && !pair.trim().is_empty())
        .map(|pair| pair.trim().to_owned())
        .collect();
    headers.remove(COOKIE);
    if let Some(value) = HeaderValue::from_str(&kept.join("; ")).ok().filter(|_| !kept.is_empty()) {
        headers.insert(COOKIE, value);
    }
}

/// Where a client is, by the word of the balancer before us. Of several addresses the last is the one that it has seen
/// itself; those before it anybody can write.
pub(crate) fn client_behind(headers: &HeaderMap, balancer: SocketAddr) -> SocketAddr {
    let last = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let ip = last.and_then(|value| value.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    ip.map_or(balancer, |ip| SocketAddr::new(ip.to_canonical(), balancer.port()))
}

/// Says where a request came from.
pub(crate) fn say_forwarded(headers: &mut HeaderMap, client: IpAddr, authority: HeaderValue, port: u16) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
    const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
    if let Ok(client) = HeaderValue::from_str(&client.to_string()) {
        headers.insert(FOR, client.clone());
        headers.insert(REAL_IP, client);
    }
    headers.insert(PROTO, HeaderValue::from_static("https"));
    headers.insert(SSL, HeaderValue::from_static("on"));
    headers.insert(FORWARDED_HOST, authority);
    headers.insert(PORT, port.into());
}

#[cfg(test)]
mod tests;
