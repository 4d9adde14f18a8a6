use super::*;

fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().version(version).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

#[test]
fn a_request_is_for_one_host_and_for_that_of_its_connection() {
    use StatusCode as S;
    let h1 = Version::HTTP_11;
    let h2 = Version::HTTP_2;
    type Case<'a> = (Version, &'a str, &'a [(&'a str, &'a str)], Option<&'a str>, Result<&'a str, StatusCode>);
    let table: &[Case<'_>] = &[
        (h1, "/", &[("host", "App.example:3080")], Some("app.example"), Ok("app.example")),
        (h1, "/", &[("host", "app.example.")], Some("app.example"), Ok("app.example")),
        (h1, "/", &[("host", "app.example")], None, Ok("app.example")),
        (h1, "/", &[("host", "other.example")], Some("app.example"), Err(S::MISDIRECTED_REQUEST)),
        (h1, "/", &[], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "/", &[("host", "")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "/", &[("host", "app.example"), ("host", "app.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "/", &[("host", "app.example, other.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "/", &[("host", "app.example@other.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "app.example", &[("host", "app.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "http://app.example/x", &[("host", "app.example")], Some("app.example"), Ok("app.example")),
        (h1, "http://other.example/x", &[("host", "app.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "http://app.example/x", &[("host", "other.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h1, "http://app.example/x", &[], Some("app.example"), Err(S::BAD_REQUEST)),
        (h2, "https://app.example/x", &[], Some("app.example"), Ok("app.example")),
        (h2, "https://app.example/x", &[("host", "app.example")], Some("app.example"), Ok("app.example")),
        (h2, "https://app.example/x", &[("host", "other.example")], Some("app.example"), Err(S::BAD_REQUEST)),
        (h2, "https://other.example/x", &[], Some("app.example"), Err(S::MISDIRECTED_REQUEST)),
    ];
    for (version, uri, headers, server_name, expect) in table {
        let found = target(&request(*version, uri, headers), *server_name).map(|target| target.host);
        assert_eq!(found, expect.map(str::to_owned), "{version:?} {uri} {headers:?} {server_name:?}");
    }
    let connect = Request::connect("app.example:443").header("host", "app.example:443").body(()).unwrap();
    assert_eq!(target(&connect, None), Err(S::BAD_REQUEST));
}

fn sent(headers: &[(&'static str, &str)]) -> Vec<String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    to_agent(&mut map, false);
    map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

#[test]
fn what_a_client_may_not_say_does_not_go_on() {
    for name in [
        "teleport-jwt-assertion",
        "teleport_jwt_assertion",
        "x-teleport-request-id",
        "x_teleport-user",
        "cf-access-token",
        "cf_access_token",
        "x-forwarded-for",
        "x_forwarded_for",
        "x.forwarded.for",
        "x-forwarded-host",
        "x-real-ip",
        "x-original-forwarded-for",
        "teleport-user",
        "forwarded",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
    ] {
        assert!(sent(&[(name, "x")]).is_empty(), "{name} went on");
    }
    for name in ["authorization", "x-forward", "x-teleport", "user-agent", "cf-access-token-x", "content-length"] {
        assert_eq!(sent(&[(name, "x")]), [format!("{name}: x")]);
    }
}

#[test]
fn what_connection_names_stays_here_but_not_what_gives_a_request_its_meaning() {
    let kept = sent(&[
        ("connection", "close, X-Private, host, Content-Length"),
        ("x-private", "1"),
        ("host", "app.example"),
        ("content-length", "3"),
    ]);
    assert_eq!(kept, ["host: app.example", "content-length: 3"]);
}

#[test]
fn our_cookies_stay_here_and_the_applications_go_on() {
    for (cookie, expect) in [
        ("a=1; __Host-grv_app_session=secret; b=2", Some("a=1; b=2")),
        ("__Host-grv_app_session=secret;__Host-grv_app_session_subject=secret", None),
        ("a=1;b=2", Some("a=1;b=2")),
    ] {
        let expect: Vec<String> = expect.map(|kept| format!("cookie: {kept}")).into_iter().collect();
        assert_eq!(sent(&[("cookie", cookie)]), expect, "{cookie}");
    }
    assert_eq!(sent(&[("cookie", "a=1"), ("cookie", "__Host-grv_app_session=secret")]), ["cookie: a=1"]);
}

#[test]
fn a_request_has_one_length() {
    for (lines, expect) in [
        (&[][..], true),
        (&[("content-length", "5")], true),
        (&[("transfer-encoding", "chunked")], true),
        (&[("transfer-encoding", "Chunked")], true),
        (&[("content-length", "5"), ("transfer-encoding", "chunked")], false),
        (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
        (&[("transfer-encoding", "gzip, chunked")], false),
        (&[("transfer-encoding", "identity")], false),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(has_one_length(&headers), expect, "{lines:?}");
    }
}

#[test]
fn of_forwarded_addresses_the_last_one_is_the_balancers_own_word() {
    let balancer: SocketAddr = "10.0.0.1:5".parse().unwrap();
    for (values, expect) in [
        (&["192.0.2.1"][..], "192.0.2.1:5"),
        (&["6.6.6.6, 192.0.2.1"], "192.0.2.1:5"),
        (&["6.6.6.6", "192.0.2.1"], "192.0.2.1:5"),
        (&["6.6.6.6, 192.0.2.1:4000"], "192.0.2.1:5"),
        (&["[2001:db8::1]:4000"], "[2001:db8::1]:5"),
        (&["2001:db8::1"], "[2001:db8::1]:5"),
        (&["192.0.2.1:0"], "192.0.2.1:5"),
        (&["192.0.2.1, nonsense"], "10.0.0.1:5"),
        (&["192.0.2.1:nonsense"], "10.0.0.1:5"),
        (&[], "10.0.0.1:5"),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        assert_eq!(client_behind(&headers, balancer), expect.parse().unwrap(), "{values:?}");
    }
}
