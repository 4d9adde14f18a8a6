//! `/scripts/install.sh` and its kin: a shell script that tells what a new machine needs to become a member of the cluster,
//! and sets up what is there. It downloads nothing.
//!
//! People run it as root. So nothing that a client sends stands in it but what is made of a few known characters, and all
//! that varies is quoted.

use http::{Response, StatusCode};

use super::value;
use crate::{Proxy, body::Body, pages};

/// What the script does; what it knows is put before it.
const SCRIPT: &str = include_str!("install.sh");

/// The longest token, name or address that is taken.
const LONGEST: usize = 255;

/// The script that a path below `/scripts/` names; none for any other path.
pub(super) fn script(proxy: &Proxy, rest: &str, query: &str) -> Option<Response<Body>> {
    Some(match words(rest, query)? {
        Ok(words) => written(proxy, &words),
        Err(why) => pages::plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
    })
}

/// What the script is to do unless it is told: words of its command line.
pub(crate) fn words(rest: &str, query: &str) -> Option<Result<Vec<String>, &'static str>> {
    Some(match rest.split_once('/') {
        None => (rest == "install.sh").then(|| Ok(Vec::new()))?,
        Some((token, "install-app.sh")) => app(token, query),
        Some((token, "install-node.sh")) => token_of(token).map(|_| vec!["node".to_owned()]),
        Some(_) => return None,
    })
}

/// An agent for one application.
fn app(token: &str, query: &str) -> Result<Vec<String>, &'static str> {
    let token = token_of(token)?;
    let name = value(query, "name").filter(|name| is_name(name));
    let name = name.ok_or("name=… must be an application's name: small letters, digits and dashes")?;
    let uri = value(query, "uri").and_then(decoded).filter(|uri| is_uri(uri));
    let uri = uri.ok_or("uri=… must be an application's address, such as http://localhost:3000")?;
    Ok(vec!["app".to_owned(), token.to_owned(), name.to_owned(), uri])
}

fn token_of(text: &str) -> Result<&str, &'static str> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let is_token = (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_fine);
    is_token.then_some(text).ok_or("the token in the path must be made of letters, digits and - _ . ~")
}

/// A label of a host name: the application is found below the proxy's.
fn is_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_uri(text: &str) -> bool {
    let is_fine = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':' | b'/' | b'[' | b']')
    };
    let rest = ["http://", "https://", "tcp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    text.len() <= LONGEST && rest.is_some_and(|rest| !rest.is_empty()) && text.bytes().all(is_fine)
}

/// Without percent-encoding; none when that is broken, or is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// The script with what it knows, and these arguments unless whoever runs it gives others.
fn written(proxy: &Proxy, words: &[String]) -> Response<Body> {
    let authorities = proxy.view.authorities();
    let pins: Vec<String> = authorities.host.iter().map(|authority| authority.pin()).collect();
    if pins.is_empty() {
        return pages::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the authorities are not known yet; try again in a moment\n",
        );
    }
    let own = proxy.config.public_addresses.first().unwrap_or(&proxy.config.listen_address);
    let known = [
        ("CLUSTER", proxy.config.cluster.clone()),
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("PROXY", own.to_string()),
        ("CA_PINS", pins.join(" ")),
    ];
    let known: String = known.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
    let words: String = words.iter().map(|word| format!(" {}", quoted(word))).collect();
    let preset = if words.is_empty() { String::new() } else { format!("[ $# -gt 0 ] || set --{words}\n") };
    let text = format!(
        "#!/bin/sh\n# Sets up a machine as a member of a Tessera cluster.\nset -eu\n\n{known}{preset}\n{SCRIPT}"
    );
    pages::answer(StatusCode::OK, "text/x-shellscript; charset=utf-8", text)
}

/// A word of the shell that stands for just this text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_made_of_known_characters() {
        for token in ["abc", "0123-ab_c.~", &"a".repeat(255)] {
            assert!(token_of(token).is_ok(), "{token}");
        }
        for token in ["", "a'b", "a b", "$(id)", "%27", "a\nb", "a;b", "é", &"a".repeat(256)] {
            assert!(token_of(token).is_err(), "{token}");
        }
        for (uri, expect) in [
            ("http://localhost:3000", true),
            ("tcp://[::1]:5432/", true),
            ("file:///etc/passwd", false),
            ("http://", false),
            ("http://a'b", false),
            ("http://a b", false),
            ("http://$(id)", false),
            ("http://a\n", false),
        ] {
            assert_eq!(is_uri(uri), expect, "{uri}");
        }
        for (name, expect) in
            [("grafana-2", true), ("", false), ("-a", false), ("a.b", false), ("A", false), ("a'", false)]
        {
            assert_eq!(is_name(name), expect, "{name}");
        }
        assert_eq!(decoded("http%3a%2F%2Fa"), Some("http://a".to_owned()));
        for broken in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quoted("a'b $(id) `id` \\"), r"'a'\''b $(id) `id` \'");
    }
}
