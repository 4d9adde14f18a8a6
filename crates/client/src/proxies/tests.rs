use super::*;

fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
    Proxies::from_variables(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

/// The rows of the official client's own test, and what `NO_PROXY` means elsewhere.
#[test]
fn the_way_to_an_address_is_chosen_as_the_official_client_chooses_it() {
    const WAY: (&str, &str) = ("HTTPS_PROXY", "http://proxy:1234");
    /// Variables, an address, and the proxy on the way there.
    type Case = (&'static [(&'static str, &'static str)], &'static str, Option<&'static str>);
    let cases: &[Case] = &[
        (&[], "192.168.1.1:3030", None),
        (&[("http_proxy", "proxy:1234")], "192.168.1.1:3030", Some("proxy:1234")),
        (&[("HTTPS_PROXY", "proxy:1234")], "192.168.1.1:3030", Some("proxy:1234")),
        (&[("https_proxy", "http://proxy")], "192.168.1.1:3030", Some("proxy:80")),
        (&[("https_proxy", "a:1"), ("HTTPS_PROXY", "b:2")], "x:1", Some("b:2")),
        (&[("HTTP_PROXY", "a:1"), ("https_proxy", "b:2")], "x:1", Some("b:2")),
        (&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")], "x:1", None),
        (&[("HTTPS_PROXY", "")], "x:1", None),
        (&[("HTTPS_PROXY", "http://[2001:db8::1]:3128/")], "x:1", Some("[2001:db8::1]:3128")),
        (&[WAY], "localhost:3025", None),
        (&[WAY], "127.0.0.9:3025", None),
        (&[WAY], "[::1]:3025", None),
        (&[WAY, ("no_proxy", "proxy")], "proxy:1234", None),
        (&[WAY, ("no_proxy", "192.168.1.1")], "192.168.1.1:1234", None),
        (&[WAY, ("no_proxy", ".example.com")], "bla.example.com:1234", None),
        (&[WAY, ("no_proxy", ".example.com")], "example.com:1234", Some("proxy:1234")),
        (&[WAY, ("no_proxy", "*.example.com")], "a.EXAMPLE.com:1", None),
        (&[WAY, ("no_proxy", "example.com")], "a.example.com:1", None),
        (&[WAY, ("no_proxy", "example.com")], "notexample.com:1", Some("proxy:1234")),
        (&[WAY, ("no_proxy", "example.com:1234")], "example.com:1234", None),
        (&[WAY, ("no_proxy", "example.com:1234")], "example.com:5678", Some("proxy:1234")),
        (&[WAY, ("no_proxy", "other, 10.0.0.0/8")], "10.9.8.7:1", None),
        (&[WAY, ("no_proxy", "10.0.0.0/8,,:1,/")], "11.0.0.1:1", Some("proxy:1234")),
        (&[WAY, ("no_proxy", "0.0.0.0/0")], "11.0.0.1:1", None),
        (&[WAY, ("no_proxy", "2001:db8::/32")], "[2001:db8::9]:1", None),
        (&[WAY, ("no_proxy", "[2001:db8::9]:1")], "[2001:db8::9]:1", None),
        (&[WAY, ("no_proxy", "2001:db8::9")], "[2001:db8::8]:1", Some("proxy:1234")),
        (&[WAY, ("NO_PROXY", "*")], "x:1", None),
    ];
    for (variables, address, expect) in cases {
        let proxies = proxies(variables).expect("readable");
        let found = proxies.on_the_way_to(address).map(|proxy| proxy.address.as_str());
        assert_eq!(found, *expect, "{variables:?} {address}");
    }
}

#[test]
fn credentials_are_decoded_and_never_shown() {
    let found = Proxy::parse("HTTPS_PROXY", "http://alice:p%40ss%3A@proxy:1").expect("readable");
    assert_eq!(found.credentials.as_ref().map(|it| it.0.expose().as_str()), Some("alice:p@ss:"));
    assert_eq!(found.describe(), "the proxy proxy:1 (HTTPS_PROXY)");
    assert!(!format!("{found:?}").contains("p@ss"));
    let nameless = Proxy::parse("HTTPS_PROXY", "http://alice@proxy:1").expect("readable");
    assert_eq!(nameless.credentials.as_ref().map(|it| it.0.expose().as_str()), Some("alice:"));
}

#[test]
fn what_is_no_proxy_is_refused_with_the_variable_and_without_the_password() {
    for (value, words) in [
        ("https://u:s3cret@proxy:1", "not supported yet"),
        ("socks5://proxy:1", "SOCKS"),
        ("ftp://proxy:1", "unknown scheme"),
        ("http://", "no address"),
        ("http://u:s3cret@proxy:port", "no address"),
        ("a b:1", "no address"),
        ("http://u:s3cret%2@proxy:1", "escape"),
    ] {
        let error = proxies(&[("https_proxy", value)]).expect_err(value).to_string();
        assert!(
            error.contains("https_proxy") && error.contains(words) && !error.contains("s3cret"),
            "{value}: {error}"
        );
    }
}

#[test]
fn whether_a_balancer_ends_tls_can_be_said() {
    let said = |text: &str| proxies(&[("TELEPORT_TLS_ROUTING_CONN_UPGRADE", text)]).unwrap();
    assert_eq!(said("").upgrades("a:1"), None);
    assert_eq!(said("nonsense").upgrades("a:1"), None);
    assert_eq!(said("yes").upgrades("a:1"), Some(true));
    let some = said("a:1=true; b:2=0, no");
    assert_eq!(["a:1", "b:2", "c:3"].map(|place| some.upgrades(place)), [Some(true), Some(false), Some(false)]);
}

#[test]
fn a_variable_chooses_what_a_connection_past_a_balancer_is_wrapped_in() {
    let said = |mode| proxies(&[("TELEPORT_TLS_ROUTING_CONN_UPGRADE_MODE", mode)]).expect("readable").wrapping();
    let found = ["", "websocket", "legacy", "LEGACY", "nonsense"].map(said);
    use Wrapping::{Packets, WebSocket};
    assert_eq!(found, [WebSocket, WebSocket, Packets, Packets, WebSocket]);
}

#[test]
fn what_is_no_answer_about_balancers_is_told_with_what_may_be_written() {
    let unread =
        |text| -> Vec<String> { upgrades(text).filter_map(Result::err).map(|error| error.to_string()).collect() };
    for text in ["", "yes", "a:1=true; b:2=0, no,"] {
        assert_eq!(unread(text), [""; 0], "{text}");
    }
    for text in ["yess", "no,a:1=maybe"] {
        let said = unread(text);
        assert!(said.len() == 1 && said[0].contains(UPGRADE) && said[0].contains("HOST:PORT=yes"), "{text}: {said:?}");
    }
    let said = wrapping("legcy").expect_err("a mistake").to_string();
    assert!(said.contains(MODE) && said.contains("legacy"), "{said}");
}
