//! What pages of other sites may not do through a browser on this machine: whoever reaches a local listener acts as the
//! identity behind it, and every page that a browser shows can send requests to this machine.
//!
//! A browser says where a request comes from (`Origin`, RFC 6454; `Sec-Fetch-*`, W3C Fetch Metadata) and whom it thinks to
//! ask (`Host`). A name of the page's own that resolves to this machine, "DNS rebinding", shows in `Host` alone.

use std::net::IpAddr;

use domain::Error;
use http::{HeaderName, Method, Request, header::HOST, header::ORIGIN, uri::Authority};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Whether a request to a tunnel may be from a program or page of this machine.
///
/// # Errors
/// Denied, with what gave it away.
pub(crate) fn to_tunnel<B>(request: &Request<B>, is_loopback: bool, public_name: Option<&str>) -> Result<(), Error> {
    let is_public = |place: &str| {
        public_name.is_some_and(|own| host(place).is_some_and(|(host, _)| own.eq_ignore_ascii_case(&host)))
    };
    let asked = asked(request);
    if is_loopback
        && let Some(asked) = asked
        && !is_name_here(asked)
        && !is_public(asked)
    {
        return Err(Error::denied(format!(
            "this listener is for programs of this machine, and {asked:?} is no name of it: ask for localhost or 127.0.0.1. \
             A page whose own name leads here would be answered as if it were one of them"
        )));
    }
    let is_near = |place: &str| host(place).is_some_and(|(host, address)| is_loopback_name(&host, address));
    page(request, is_near, |place| is_asked(asked, place) || is_public(place))
}

/// Whether a request to a forward proxy may be of a program, or of a page of the application that it is for. A browser that
/// uses the proxy asks for `http://application/` and names that as origin, too.
///
/// # Errors
/// Denied, with what gave it away.
pub(crate) fn to_proxy<B>(request: &Request<B>) -> Result<(), Error> {
    let asked = asked(request);
    page(request, |_| false, |place| is_asked(asked, place))
}

/// What the browser says about the page that asks, if it is one: `is_near` are places of this machine, `is_same` is the
/// place that was asked. What cannot be read, or is said twice, might be any page's.
fn page<B>(request: &Request<B>, is_near: impl Fn(&str) -> bool, is_same: impl Fn(&str) -> bool) -> Result<(), Error> {
    says(request, HOST)?;
    let is = |name: HeaderName, wanted: &str| {
        Ok::<_, Error>(says(request, name)?.map(|said| said.eq_ignore_ascii_case(wanted)))
    };
    // Somebody who follows a link to this place; not a page that shows it in a frame of its own.
    let is_visit = is(FETCH_MODE, "navigate")?.unwrap_or(false)
        && is(FETCH_DEST, "document")?.unwrap_or(true)
        && matches!(*request.method(), Method::GET | Method::HEAD);
    let is_elsewhere = is(FETCH_SITE, "cross-site")?.unwrap_or(false) && !is_visit;
    match says(request, ORIGIN)? {
        Some(origin) => {
            let place = origin.split_once("://").map(|(_, place)| place);
            let is_ours = place.is_some_and(|place| is_near(place) || is_same(place) && !is_elsewhere);
            if is_ours { Ok(()) } else { Err(foreign(origin)) }
        }
        None if is_elsewhere => Err(foreign("another site")),
        None => Ok(()),
    }
}

/// What stands in a header that is there once.
fn says<B>(request: &Request<B>, name: HeaderName) -> Result<Option<&str>, Error> {
    let mut all = request.headers().get_all(&name).iter().map(|value| value.to_str());
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Error::denied(format!("the header {name} is repeated or cannot be read, so who asks is not known"))),
    }
}

fn is_asked(asked: Option<&str>, place: &str) -> bool {
    asked.is_some_and(|asked| asked.eq_ignore_ascii_case(place))
}

fn foreign(origin: &str) -> Error {
    Error::denied(format!("a page of {origin} asks, and this listener answers for programs of this machine only"))
}

/// Whom a request says that it is for.
pub(crate) fn asked<B>(request: &Request<B>) -> Option<&str> {
    request.uri().authority().map(Authority::as_str).or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// The host of `host:port`, in lower case, and the address that it is.
fn host(place: &str) -> Option<(String, Option<IpAddr>)> {
    let authority = place.parse::<Authority>().ok()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    Some((host.to_ascii_lowercase(), address)).filter(|(host, _)| !host.is_empty())
}

/// Names that lead to this machine alone (RFC 6761 §6.3), so that a page of theirs is a page of this machine.
fn is_loopback_name(host: &str, address: Option<IpAddr>) -> bool {
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Names that somebody else cannot have given to this machine in the public DNS: addresses, and names without a dot, such as
/// that of a container. Another machine has such names as well: they say nothing about where a page comes from.
fn is_name_here(place: &str) -> bool {
    host(place)
        .is_some_and(|(host, address)| is_loopback_name(&host, address) || address.is_some() || !host.contains('.'))
}

/// Whether this can be the name of an application to a forward proxy: what is sent to the listener itself is for none.
pub(crate) fn is_application(place: &str) -> bool {
    host(place).is_some_and(|(host, address)| address.is_none() && !is_loopback_name(&host, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_programs_of_this_machine() {
        let page = ("origin", "http://evil.example");
        for (method, host, lines, is_let_in) in [
            ("GET", "localhost:1234", &[][..], true),
            ("GET", "127.0.0.1:1234", &[], true),
            ("GET", "[::1]:1234", &[], true),
            ("GET", "tbot:1234", &[], true),
            ("GET", "App.LocalHost.:1234", &[], true),
            ("GET", "App.proxy.example", &[], true),
            ("GET", "other.proxy.example", &[], false),
            ("POST", "localhost:1234", &[("origin", "http://localhost:1234")], true),
            ("POST", "localhost:1234", &[("origin", "http://127.0.0.1:3000")], true),
            ("GET", "localhost:1234", &[("sec-fetch-site", "none")], true),
            ("GET", "localhost:1234", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true),
            ("POST", "localhost:1234", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
            ("GET", "localhost:1234", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            ("GET", "localhost:1234", &[page], false),
            ("POST", "localhost:1234", &[("origin", "http://[::1]:3000"), ("sec-fetch-site", "cross-site")], true),
            ("POST", "localhost:1234", &[("origin", "http://app.localhost:3000")], true),
            ("POST", "localhost:1234", &[("origin", "http://203.0.113.9")], false),
            ("POST", "127.0.0.1:1234", &[("origin", "http://192.168.1.1")], false),
            ("POST", "localhost:1234", &[("origin", "http://printer")], false),
            ("POST", "tbot:1234", &[("origin", "http://tbot:1234")], true),
            ("POST", "app.proxy.example", &[("origin", "http://app.proxy.example")], true),
            ("POST", "localhost", &[("origin", "https://app.proxy.example"), ("sec-fetch-site", "cross-site")], false),
            (
                "GET",
                "localhost:1234",
                &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                false,
            ),
            ("GET", "localhost:1234", &[("origin", "null")], false),
            ("GET", "localhost:1234", &[("origin", "http://localhost.evil.example")], false),
            ("GET", "localhost:1234", &[("origin", "http://localhost@evil.example")], false),
            ("GET", "evil.example:1234", &[], false),
            ("GET", "evil.example:1234", &[("origin", "http://evil.example:1234")], false),
            ("GET", "127.0.0.1.evil.example", &[], false),
            ("GET", "b\u{fc}cher.example", &[], false),
            ("GET", "localhost:1234", &[("host", "evil.example")], false),
            ("GET", "localhost:1234", &[("origin", "http://b\u{fc}cher.example")], false),
            ("POST", "localhost:1234", &[("origin", "http://localhost:1234"), page], false),
            ("GET", "localhost:1234", &[("sec-fetch-site", "Cross-Site")], false),
            ("GET", "localhost:1234", &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false),
            ("POST", "Tbot:1234", &[("origin", "http://tbot:1234")], true),
        ] {
            let mut request = Request::builder().method(method).header(HOST, host);
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(
                to_tunnel(&request, true, Some("app.proxy.example")).is_ok(),
                is_let_in,
                "{method} {host} {lines:?}"
            );
        }
        let from_afar = Request::get("/").header(HOST, "apps.example.com").body(()).unwrap();
        assert!(to_tunnel(&from_afar, false, None).is_ok(), "a listener for other machines is asked by its name there");
    }

    #[test]
    fn a_forward_proxy_answers_pages_of_the_application_that_they_ask_for() {
        for (method, uri, lines, is_let_in) in [
            ("GET", "http://grafana/x", &[][..], true),
            ("POST", "http://grafana/x", &[], true),
            ("POST", "http://grafana/x", &[("origin", "http://grafana")], true),
            ("POST", "http://grafana/x", &[("origin", "http://evil.example")], false),
            ("POST", "http://grafana/x", &[("origin", "http://localhost:3000")], false),
            ("POST", "http://grafana/x", &[("origin", "http://prometheus")], false),
            ("POST", "http://grafana/x", &[("origin", "null")], false),
            ("POST", "http://grafana/x", &[("origin", "http://grafana"), ("origin", "http://evil.example")], false),
            ("POST", "http://grafana/x", &[("origin", "http://b\u{fc}cher.example")], false),
            ("GET", "http://grafana/x", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false),
            ("GET", "http://grafana/x", &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true),
        ] {
            let mut request = Request::builder().method(method).uri(uri);
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            assert_eq!(to_proxy(&request.body(()).unwrap()).is_ok(), is_let_in, "{method} {uri} {lines:?}");
        }
        for (place, is_one) in [
            ("grafana", true),
            ("a.b:80", true),
            ("127.0.0.1:8080", false),
            ("[::1]", false),
            ("localhost:8080", false),
            ("", false),
        ] {
            assert_eq!(is_application(place), is_one, "{place}");
        }
    }
}
