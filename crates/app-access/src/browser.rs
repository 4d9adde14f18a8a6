//! What pages of other sites may not do through a browser on this machine: whoever reaches a local listener acts as the
//! identity behind it, and every page that a browser shows can send requests to this machine.
//!
//! A browser says where a request comes from (`Origin`, RFC 6454; `Sec-Fetch-*`, W3C Fetch Metadata) and whom it thinks to
//! ask (`Host`). A name of the page's own that resolves to this machine, "DNS rebinding", shows in `Host` alone.

use std::net::IpAddr;

use domain::Error;
use http::{HeaderMap, HeaderName, Method, Request, header::HOST, header::ORIGIN, uri::Authority};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a request to a tunnel may be from a program or page of this machine.
///
/// # Errors
/// Denied, with what gave it away.
pub(crate) fn check<B>(request: &Request<B>, is_loopback: bool, public_name: Option<&str>) -> Result<(), Error> {
    let is_here = |place: &str| is_here(place, public_name);
    let headers = request.headers();
    let asked = request.uri().authority().map(Authority::as_str).or_else(|| text(headers, &HOST));
    if is_loopback
        && let Some(asked) = asked
        && !is_here(asked)
    {
        return Err(Error::denied(format!(
            "this listener is for programs of this machine, and {asked:?} is no name of it: ask for localhost or 127.0.0.1. \
             A page whose own name leads here would be answered as if it were one of them"
        )));
    }
    let origin = text(headers, &ORIGIN);
    if let Some(origin) = origin {
        let place = origin.split_once("://").map(|(_, place)| place);
        if !place.is_some_and(|place| is_here(place) || Some(place) == asked) {
            return Err(foreign(origin));
        }
    } else if text(headers, &FETCH_SITE) == Some("cross-site") {
        // Somebody who follows a link to this place.
        let is_visit = text(headers, &FETCH_MODE) == Some("navigate");
        if !is_visit || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(foreign("another site"));
        }
    }
    Ok(())
}

fn foreign(origin: &str) -> Error {
    Error::denied(format!("a page of {origin} asks, and this listener answers for programs of this machine only"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Names of this machine, which nobody else can give to theirs: addresses, `localhost` (RFC 6761 §6.3), names without a
/// dot, such as that of a container, and that of the application itself.
fn is_here(place: &str, public_name: Option<&str>) -> bool {
    let Ok(authority) = place.parse::<Authority>() else { return false };
    let host =
        authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let is_local = host.parse::<IpAddr>().is_ok() || host.ends_with(".localhost") || !host.contains('.');
    !host.is_empty() && (is_local || public_name.is_some_and(|own| own.eq_ignore_ascii_case(&host)))
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
            ("GET", "localhost:1234", &[("origin", "null")], false),
            ("GET", "localhost:1234", &[("origin", "http://localhost.evil.example")], false),
            ("GET", "localhost:1234", &[("origin", "http://localhost@evil.example")], false),
            ("GET", "evil.example:1234", &[], false),
            ("GET", "evil.example:1234", &[("origin", "http://evil.example:1234")], false),
            ("GET", "127.0.0.1.evil.example", &[], false),
        ] {
            let mut request = Request::builder().method(method).header(HOST, host);
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(
                check(&request, true, Some("app.proxy.example")).is_ok(),
                is_let_in,
                "{method} {host} {lines:?}"
            );
        }
        let from_afar = Request::get("/").header(HOST, "apps.example.com").body(()).unwrap();
        assert!(check(&from_afar, false, None).is_ok(), "a listener for other machines is asked by its name there");
    }
}
