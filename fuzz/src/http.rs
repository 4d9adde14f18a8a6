//! Requests on their way through the proxy, the tunnel and the agent, and answers on theirs back.

use std::{collections::BTreeMap, net::SocketAddr};

use agent_app::fuzzing as agent;
use domain::resources::app::{Header, Rewrite};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use proxy::fuzzing as front;
use tunnel::Open;

use crate::{network::at_once, text};

/// Header lines as a server's library hands them on: whatever it takes for names and values.
fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// A name as an application may read it that cannot tell one sign from another.
fn read_loosely(name: &HeaderName) -> String {
    name.as_str().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

fn assert_nothing_of_ours(headers: &HeaderMap, of_proxy: bool) {
    for (name, value) in headers {
        let loose = read_loosely(name);
        let is_ours = loose.starts_with("x-teleport-")
            || loose.starts_with("x-forwarded-")
            || of_proxy && loose.starts_with("teleport-")
            || ["teleport-jwt-assertion", "cf-access-token", "x-real-ip", "forwarded"].contains(&loose.as_str());
        assert!(!is_ours, "{name} went on");
        let is_of_hop = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "proxy-authenticate",
            "transfer-encoding",
            "trailer",
            "upgrade",
            "http2-settings",
        ];
        assert!(!is_of_hop.contains(&name.as_str()), "{name} went on");
        assert!(*name != header::TE || value == "trailers", "te: {value:?} went on");
        if *name == header::COOKIE {
            let is_ours = |pair: &[u8]| pair.trim_ascii_start().starts_with(b"__Host-grv_app_");
            assert!(!value.as_bytes().split(|byte| *byte == b';').any(is_ours), "a session went on: {value:?}");
        }
    }
}

fn assert_one_foreign_protocol(protocol: Option<&HeaderValue>) {
    let Some(protocol) = protocol.map(|value| value.as_bytes().to_ascii_lowercase()) else { return };
    assert!(!protocol.contains(&b',') && !protocol.contains(&b' '), "{protocol:?} is more than one");
    assert!(![&b"h2"[..], b"http", b"tls"].iter().any(|ours| protocol.starts_with(ours)), "{protocol:?} is begun");
}

/// A request: the connection's name, method, URI, and header lines.
pub fn request_heads(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (name, method, uri) = (lines.next(), lines.next(), lines.next());
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_ascii_lowercase);
    let name = name.as_deref().filter(|name| !name.is_empty());
    let (Some(Ok(method)), Some(Ok(uri))) = (method.map(Method::from_bytes), uri.map(Uri::try_from)) else { return };
    let mut map = headers(lines);
    let balancer: SocketAddr = "192.0.2.1:9".parse().expect("an address");
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut(), *request.version_mut()) = (method.clone(), uri.clone(), version);
        *request.headers_mut() = map.clone();
        let Some((host, authority)) = front::target(&request, name) else { continue };
        assert!(name.is_none_or(|name| name.strip_suffix('.').unwrap_or(name) == host), "{host} is not {name:?}");
        let written = authority.to_str().expect("what a host was read from is text");
        assert_eq!(front::host(written).as_deref(), Some(host.as_str()));
        assert!(!host.contains(['@', '/', '\\', '?', '#', '%', '[', ']', ' ', ',']), "{host}");
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{host}");
        assert!(method != Method::CONNECT && map.get_all(header::HOST).iter().count() <= 1);
        if let Some(of_uri) = request.uri().authority() {
            assert!(
                map.get(header::HOST).is_none_or(|own| own.as_bytes().eq_ignore_ascii_case(of_uri.as_str().as_bytes()))
            );
        }
    }
    let codings = map.get_all(header::TRANSFER_ENCODING).iter().count();
    if front::has_one_length(&map) {
        assert!(codings == 0 || codings == 1 && !map.contains_key(header::CONTENT_LENGTH));
    }
    assert!(front::client_behind(&map, balancer).port() == balancer.port());
    let _ = front::has_session(&map);
    let given = map.clone();
    let mut direct = map.clone();
    assert_one_foreign_protocol(front::to_agent(&mut map).as_ref());
    assert_nothing_of_ours(&map, true);
    // The agent does not rely on the proxy for it.
    for headers in [&mut map, &mut direct] {
        assert_one_foreign_protocol(agent::to_application(headers, balancer).as_ref());
        let set = ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-ssl", "x-forwarded-port"];
        for name in set {
            assert_eq!(headers.get_all(name).iter().count(), 1, "{name}");
            headers.remove(name);
        }
        assert!(headers.get_all("x-forwarded-host").iter().count() <= 1);
        headers.remove("x-forwarded-host");
        assert_nothing_of_ours(headers, false);
        assert!(headers.keys().all(|name| given.contains_key(name)), "a header came from nowhere");
    }
}

/// What comes behind `/web/launch/`, or into a query.
pub fn launch_places(data: &[u8]) {
    let text = text(data);
    let location = front::launch(&text).expect("it always leads somewhere");
    let location = location.to_str().expect("text");
    let rest = location.strip_prefix("/web/login").expect("our own page");
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~%".contains(letter);
    assert!(rest.strip_prefix("?application=").is_none_or(|host| host.chars().all(is_plain)), "{location}");
    assert!(rest.is_empty() || rest.starts_with("?application="), "{location}");
    let encoded = front::encoded(&text);
    assert!(encoded.chars().all(is_plain), "{encoded}");
    // The same text as the name of an install script: what would stand in it, and be run as root.
    let (rest, query) = text.split_once('?').unwrap_or((&text, ""));
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/[]".contains(letter);
    for word in front::script(rest, query).unwrap_or_default() {
        assert!(word.chars().all(is_harmless), "{word}");
    }
}

/// An application's definition and what passes through it: lines with its address, the public one, a redirect that is
/// turned back, one that the application makes, a trait, and then headers of the definition.
pub fn app_rewrites(data: &[u8]) {
    let text = text(data);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (uri, public, listed, location, value) = (next(), next(), next(), next(), next());
    let rules = Rewrite {
        headers: lines
            .take(20)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| Header { name: name.to_owned(), value: value.to_owned() })
            .collect(),
        redirect: vec![listed.to_owned()],
        ..Rewrite::default()
    };
    let mut map = HeaderMap::new();
    for header in &rules.headers {
        if let Ok(name) = HeaderName::from_bytes(header.name.trim().as_bytes()) {
            map.insert(name, HeaderValue::from_static("from the client"));
        }
    }
    let traits = BTreeMap::from([("logins".to_owned(), vec![value.to_owned(), "root".to_owned()])]);
    if agent::rewrite(&rules, &mut map, traits).is_ok() {
        assert!(map.values().all(|value| value != "from the client"), "a client's word stands under a trusted name");
        assert!(map.keys().all(|name| !read_loosely(name).starts_with("x-forwarded-")));
    }
    let (Ok(before), true) = (HeaderValue::from_str(location), front::host(public).is_some()) else { return };
    let mut map = HeaderMap::from_iter([(header::LOCATION, before.clone())]);
    if agent::redirect(&Rewrite { headers: Vec::new(), ..rules }, &mut map, uri, public).is_ok() {
        let after = map.get(header::LOCATION).expect("a redirect stays one");
        if *after != before {
            let after: Uri =
                after.to_str().expect("text").split('#').next().unwrap_or_default().parse().expect("a URI");
            assert_eq!((after.scheme_str(), after.authority().map(|own| own.as_str())), (Some("https"), Some(public)));
        }
    }
}

/// The request that opens a stream of the tunnel.
pub fn tunnel_streams(data: &[u8]) {
    let Some(open) = Open::from_headers(&headers(data.split(|byte| *byte == b'\n'))) else { return };
    let request = open.to_request().expect("what came in headers goes into headers");
    assert_eq!(Open::from_headers(request.headers()), Some(open));
}

/// Packets of a connection upgrade, however they arrive.
pub fn upgrade_packets(data: &[u8]) {
    let mut expect = Vec::new();
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length");
        let (now, later) = after.split_at(length.min(after.len()));
        expect.extend_from_slice(now);
        rest = later;
    }
    let mut bytes = Vec::new();
    let mut packets = data;
    let _ = at_once(front::unpack(&mut packets, &mut bytes));
    assert_eq!(bytes, expect);
}

/// What an SSH client sends before it is known, in the clear.
pub fn ssh_clients(data: &[u8]) {
    front::ssh(data);
}

/// The first words of a program, or of a browser, that comes to a local listener of an application that speaks no HTTP.
pub fn first_words(data: &[u8]) {
    let Some(passed) = app_access::fuzzing::first_words(data) else { return };
    assert_eq!(passed, data);
    // Nothing of a page of another site, in whichever way it is written.
    let page = [b"POST / HTTP/1.1\r\nOrigin: https://evil.example\r\nX: ", data].concat();
    if data.iter().all(|byte| byte.is_ascii_graphic()) {
        assert!(app_access::fuzzing::first_words(&[&page[..], b"\r\n\r\n"].concat()).is_none());
    }
}
