//! What of a request is taken from a client, and what is not: whom it is for, and which headers go on.

use std::net::{IpAddr, SocketAddr};

use domain::resources::app::is_reserved_header;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version,
    header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING},
};
use tunnel::headers::SESSION_COOKIES;
pub(crate) use tunnel::headers::{REQUEST_ID, reads_trailers, strip_hop_by_hop, upgrade};

use crate::names;

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

/// Makes a client's headers those of a request to an agent.
pub(crate) fn to_agent(headers: &mut HeaderMap, trailers: bool) {
    strip_hop_by_hop(headers);
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // The client was answered by us.
    headers.remove(EXPECT);
    // We and the agent say it.
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_reserved_header(name.as_str())).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    if headers.contains_key(COOKIE) {
        strip_cookies(headers);
    }
}

/// Our own cookies are credentials of the proxy: an application that read them could use them.
fn strip_cookies(headers: &mut HeaderMap) {
    let is_ours = |pair: &str| pair.trim_start().starts_with(SESSION_COOKIES);
    let has_ours = |value: &HeaderValue| match value.to_str() {
        Ok(text) => text.split(';').any(is_ours),
        Err(_) => value.as_bytes().windows(SESSION_COOKIES.len()).any(|window| window == SESSION_COOKIES.as_bytes()),
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
/// itself; those before it anybody can write. Some balancers write the client's port, too, and IPv6 in brackets then.
pub(crate) fn client_behind(headers: &HeaderMap, balancer: SocketAddr) -> SocketAddr {
    let last = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let ip = last.and_then(|value| {
        let last = value.rsplit(',').next()?.trim();
        last.parse().or_else(|_| last.parse().map(|with_port: SocketAddr| with_port.ip())).ok()
    });
    // The port says how sure the address is, and is the balancer's.
    ip.map_or(balancer, |ip: IpAddr| SocketAddr::new(ip.to_canonical(), balancer.port()))
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
