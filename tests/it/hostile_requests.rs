//! Requests that mean two things, against the real port: an application gets what the client was entitled to send and
//! nothing besides, and nobody is led anywhere else.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, task::JoinSet};

use crate::support::{
    applications::{AMBIGUOUS, ONE, PROXY, Recorder, Stage, TWO, until_quiet},
    people::{self, Person},
};

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// An error, the end of the connection, and not a word to the application.
    Refused,
    /// The application gets no whole request.
    Broken,
    /// One request with this body, framed anew.
    Carried(&'static str),
    /// The first or the last of these.
    RefusedOrCarried(&'static str),
}
use Fate::{Broken, Carried, Refused, RefusedOrCarried};

/// What follows as a second request where the two ends disagree about the first.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: one.proxy.localhost\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// A POST to the case's own path with these lines, and then these bytes.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /@ HTTP/1.1\r\nHost: {ONE}\r\n{lines}\r\n{rest}")
}

fn lengths() -> Vec<(&'static str, Fate, String)> {
    let chunked = format!("{}0\r\n\r\n", chunk("hello"));
    let mut cases = vec![
        (
            "CL.TE",
            RefusedOrCarried(""),
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{SECOND}")),
        ),
        (
            "TE.CL",
            Carried("GET /smuggled HTTP/1.1\r\nHost: one.proxy.localhost\r\n\r\n"),
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &format!("{}0\r\n\r\n", chunk(SECOND))),
        ),
        ("two lengths", Refused, post("Content-Length: 5\r\nContent-Length: 0\r\n", &format!("hello{SECOND}"))),
        ("one length twice", RefusedOrCarried("hello"), post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        ("an unknown coding last", Refused, post("Transfer-Encoding: chunked, identity\r\n", &chunked)),
        ("coded twice", Refused, post("Transfer-Encoding: chunked, chunked\r\n", &chunked)),
        ("coded and chunked", Refused, post("Transfer-Encoding: gzip, chunked\r\n", &chunked)),
        (
            "two codings",
            Refused,
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &format!("0\r\n\r\n{SECOND}")),
        ),
        ("chunked in capitals", RefusedOrCarried("hello"), post("Transfer-Encoding: CHUNKED\r\n", &chunked)),
        ("a length in a folded line", Refused, post("X: a\r\n Content-Length: 5\r\n", "hello")),
        ("a coding in a folded line", Refused, post("Transfer-Encoding:\r\n chunked\r\n", &chunked)),
        ("a coding behind a carriage return", Refused, post("X: a\rTransfer-Encoding: chunked\r\n", &chunked)),
        (
            "a coding of HTTP/1.0",
            Refused,
            format!("POST /@ HTTP/1.0\r\nHost: {ONE}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}"),
        ),
        (
            "chunk extensions",
            RefusedOrCarried("hello"),
            post("Transfer-Encoding: chunked\r\n", "5;a=b;c\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "trailers",
            RefusedOrCarried("hello"),
            post(
                "Trailer: X\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\nTeleport-Jwt-Assertion: evil\r\n\r\n",
            ),
        ),
    ];
    for length in ["+5", "-5", "0x5", "5,5", "5, 6", "5 5", "", "٥", "99999999999999999999999999"] {
        cases.push(("a length that is none", Refused, post(&format!("Content-Length: {length}\r\n"), "hello")));
    }
    for coding in [
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "\u{b}chunked",
        "chunked\u{b}",
        "x\0chunked",
        ", chunked",
        "identity",
    ] {
        let lines = format!("Transfer-Encoding: {coding}\r\n");
        cases.push(("a coding that is none", Refused, post(&lines, &format!("0\r\n\r\n{SECOND}"))));
        let lines = format!("Content-Length: 5\r\nTransfer-Encoding: {coding}\r\n");
        cases.push(("a length and a coding that is none", Refused, post(&lines, &format!("0\r\n\r\n{SECOND}"))));
    }
    for name in [
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        "Transfer\0-Encoding",
        " Transfer-Encoding",
        "Transfer-Encoding\r",
    ] {
        let lines = format!("Content-Length: 5\r\n{name}: chunked\r\n");
        cases.push(("a name that is none", Refused, post(&lines, &format!("0\r\n\r\n{SECOND}"))));
    }
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000));
    for chunks in [
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5;\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n",
        &long,
    ] {
        cases.push(("a chunk that is none", Broken, post("Transfer-Encoding: chunked\r\n", chunks)));
    }
    cases
}

fn lines() -> Vec<(&'static str, Fate, String)> {
    let get = |line: &str, lines: &str| format!("{line}\r\n{lines}\r\n");
    let host = format!("Host: {ONE}\r\n");
    let mut cases = vec![
        ("line feeds alone", RefusedOrCarried(""), format!("GET /@ HTTP/1.1\nHost: {ONE}\n\n")),
        ("a version of its own", Refused, get("GET /@ HTTP/1.2", &host)),
        ("a version far ahead", Refused, get("GET /@ HTTP/9.9", &host)),
        ("no version", Refused, format!("GET /@\r\nHost: {ONE}\r\n\r\n")),
        ("a line break in the path", Refused, get("GET /@\rx HTTP/1.1", &host)),
        ("a NUL in the path", Refused, get("GET /@\0 HTTP/1.1", &host)),
        ("a space in the path", Refused, get("GET /@ /smuggled HTTP/1.1", &host)),
        ("another host in the line", Refused, get(&format!("GET http://{TWO}/@ HTTP/1.1"), &host)),
        ("its own host in the line", RefusedOrCarried(""), get(&format!("GET https://{ONE}/@ HTTP/1.1"), &host)),
        ("a user in the line", Refused, get(&format!("GET http://{ONE}@{TWO}/@ HTTP/1.1"), &host)),
        ("a host alone", Refused, get(&format!("GET {TWO} HTTP/1.1"), &host)),
        ("its own host alone", Refused, get(&format!("GET {ONE} HTTP/1.1"), &host)),
        ("a tunnel", Refused, get(&format!("CONNECT {TWO}:443 HTTP/1.1"), &host)),
        ("a tunnel to itself", Refused, get(&format!("CONNECT {ONE}:443 HTTP/1.1"), &format!("Host: {ONE}:443\r\n"))),
        ("a path of two slashes", Carried(""), get(&format!("GET //{TWO}/@ HTTP/1.1"), &host)),
        ("a trace", Refused, get("TRACE /@ HTTP/1.1", &host)),
        ("no host", Refused, get("GET /@ HTTP/1.1", "")),
        ("two hosts", Refused, get("GET /@ HTTP/1.1", &format!("{host}Host: {TWO}\r\n"))),
        ("its own host twice", Refused, get("GET /@ HTTP/1.1", &format!("{host}{host}"))),
        ("a name with a space", Refused, get("GET /@ HTTP/1.1", &format!("{host}X y: 1\r\n"))),
        ("a line without a colon", Refused, get("GET /@ HTTP/1.1", &format!("{host}evil\r\n"))),
        ("a NUL in a value", Refused, get("GET /@ HTTP/1.1", &format!("{host}X: a\0b\r\n"))),
    ];
    for other in [
        TWO.to_owned(),
        format!("{ONE},{TWO}"),
        format!("{ONE} {TWO}"),
        format!("{ONE}@{TWO}"),
        format!("{ONE}:443@{TWO}"),
        format!("{ONE}\\@{TWO}"),
        format!("{ONE}/{TWO}"),
        format!("{ONE}#{TWO}"),
        format!("{ONE}?{TWO}"),
        format!("{ONE}%00.{TWO}"),
        format!("{ONE}\0"),
        format!("[{ONE}]"),
        format!("[{ONE}]:443"),
        format!("{ONE}:+443"),
        format!("{ONE}:99999"),
        format!("{ONE}:443:443"),
        format!("{ONE}:"),
        format!("{ONE}.."),
        format!("/{ONE}"),
        "оne.proxy.localhost".to_owned(),
        String::new(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ] {
        cases.push(("a host of its own", Refused, get("GET /@ HTTP/1.1", &format!("Host: {other}\r\n"))));
    }
    for own in [ONE.to_uppercase(), format!("{ONE}:443"), format!("{ONE}."), format!("\t{ONE} ")] {
        cases.push(("another spelling of its host", Carried(""), get("GET /@ HTTP/1.1", &format!("Host: {own}\r\n"))));
    }
    cases
}

/// What is wrong with what came of a case.
fn fault(fate: Fate, answer: &str, name: &str, one: &Recorder) -> Option<String> {
    let seen = one.with_line(name);
    let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5");
    let answers = answer.matches("HTTP/1.").count();
    let is_silent = is_refused && answers <= 1 && seen.is_empty();
    let carries = |body: &str| answer.starts_with("HTTP/1.1 200") && seen.len() == 1 && seen[0].body == body.as_bytes();
    let is_well = match fate {
        Refused => is_silent,
        Broken => seen.is_empty(),
        Carried(body) => carries(body),
        RefusedOrCarried(body) => is_silent || carries(body),
    };
    (!is_well).then(|| format!("{fate:?}, but: {answer:?}\n   the application saw {seen:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_meaning() {
    let stage = Arc::new(Stage::start().await);
    let mut running = JoinSet::new();
    for (number, (what, fate, bytes)) in lengths().into_iter().chain(lines()).enumerate() {
        let stage = Arc::clone(&stage);
        running.spawn(async move {
            let name = format!("case-{number}.");
            let bytes = bytes.replace('@', &name).replace(&format!("{ONE}{name}"), &format!("{ONE}@"));
            let answer = stage.send(ONE, Some(&stage.alice), bytes.as_bytes()).await;
            // Whoever comes next over the connections that the proxy keeps for this session gets his own answer.
            let victim = format!("/victim-{number}.");
            let next = stage.ask(ONE, Some(&stage.alice), &victim).await;
            let start: String = bytes.chars().take(300).collect();
            let fault = fault(fate, &answer, &name, &stage.one);
            let fault = fault.or_else(|| (!next.contains(&victim)).then(|| format!("the next one got {next:?}")));
            fault.map(|fault| format!("{what}: {start:?}: {fault}"))
        });
    }
    let count = running.len();
    let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for seen in stage.one.seen() {
        assert!(!seen.head.lines().next().unwrap().contains("smuggled"), "{seen:?}");
        assert!(!seen.head.contains("evil") && !seen.body.starts_with(AMBIGUOUS.as_bytes()), "{seen:?}");
    }
    assert!(stage.two.seen().iter().all(|seen| seen.head.starts_with("GET /ready ")), "{:?}", stage.two.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_says_no_client_says() {
    let stage = Stage::start().await;
    let names = [
        "Teleport-Jwt-Assertion",
        "teleport_jwt_assertion",
        "Teleport.Jwt.Assertion",
        "TELEPORT-JWT_ASSERTION",
        "Teleport-Anything",
        "X-Teleport-Request-Id",
        "X_Teleport-Hop",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "X.Forwarded.For",
        "X-Forwarded-User",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Ssl",
        "X-Real-Ip",
        "X_Real_Ip",
        "Forwarded",
        "Cf-Access-Token",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Http2-Settings",
    ];
    let all: String = names.iter().map(|name| format!("{name}: evil\r\n")).collect();
    let named = names.join(", ");
    for (what, lines) in [
        ("plainly", all.clone()),
        ("twice", format!("{all}{all}")),
        ("named by Connection", format!("Connection: {named}, Host, Content-Length, Cookie\r\n{all}")),
        ("named by Connection alone", format!("Connection: {named}, Host\r\n")),
    ] {
        let path = format!("/headers-{}", what.replace(' ', "-"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 2\r\n{lines}\
             Cookie: a=1; __Host-grv_app_session=evil; __Host-grv_app_session_subject=evil; b=2\r\n\r\nhi"
        );
        let answer = stage.send(ONE, Some(&stage.alice), request.as_bytes()).await;
        let seen = stage.one.with_line(&path);
        assert!(seen.len() == 1 && seen[0].body == b"hi", "{what}: {answer} {seen:?}");
        let head = &seen[0].head;
        assert!(!head.contains("evil"), "{what}: {head}");
        for (line, count) in [
            ("teleport-jwt-assertion: ey", 1),
            ("x-forwarded-for: 127.0.0.1\r\n", 1),
            ("x-real-ip: 127.0.0.1\r\n", 1),
            ("x-forwarded-proto: https\r\n", 1),
            ("x-forwarded-host: one.proxy.localhost\r\n", 1),
            ("cookie: a=1; b=2\r\n", 1),
            ("connection:", 0),
            ("\nhost: ", 1),
        ] {
            assert_eq!(head.matches(line).count(), count, "{what}: {line:?} in {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_protocol_that_carries_requests_is_begun_behind_the_checks() {
    let stage = Stage::start().await;
    for (number, (protocol, goes_on)) in [
        ("websocket", true),
        ("h2c", false),
        ("H2C", false),
        ("websocket, h2c", false),
        ("h2c, websocket", false),
        ("websocket\r\nUpgrade: h2c", false),
        ("TLS/1.0", false),
        ("tls/1.2", false),
        ("HTTP/2.0", false),
        ("http/1.1", false),
        ("h2", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/upgrade-{number}.");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {ONE}\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: {protocol}\r\n\r\n"
        );
        let answer = stage.send(ONE, Some(&stage.alice), request.as_bytes()).await;
        let seen = stage.one.with_line(&path);
        let head = seen.first().map(|seen| seen.head.clone()).unwrap_or_default();
        assert_eq!(head.contains("upgrade: "), goes_on, "{protocol}: {answer} {head}");
        assert!(!head.contains("http2-settings"), "{protocol}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_reaches_the_application_that_name_and_certificate_agree_on() {
    let stage = Stage::start().await;
    let (alice, bob) = (&stage.alice, &stage.bob);
    let copied = Person { key: people::key(), ..alice.clone() };
    type Case<'a> = (&'a str, Option<&'a Person>, &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (ONE, Some(alice), ONE, "200"),
        (TWO, Some(bob), TWO, "200"),
        (TWO, Some(alice), TWO, "302"),
        (ONE, Some(bob), ONE, "302"),
        (ONE, None, ONE, "302"),
        (ONE, Some(alice), TWO, "421"),
        (TWO, Some(alice), ONE, "421"),
        (TWO, Some(bob), ONE, "421"),
        (ONE, Some(alice), PROXY, "421"),
        (PROXY, Some(alice), ONE, "421"),
        ("other.example", Some(alice), ONE, "421"),
        ("other.example", Some(alice), "other.example", "302"),
        ("two.one.proxy.localhost", Some(alice), "two.one.proxy.localhost", "302"),
        // Without a name no certificate is asked for.
        ("127.0.0.1", Some(alice), ONE, "302"),
        ("127.0.0.1", Some(alice), PROXY, "200"),
    ];
    for (name, who, host, expect) in cases {
        let path = format!(
            "/of-{}-{host}",
            who.map_or("nobody", |who| if who.key.public() == alice.key.public() { "alice" } else { "bob" })
        );
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let request = if *host == PROXY { request.replace(&path, "/webapi/ping") } else { request };
        let answer = stage.send(name, *who, request.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some(*expect), "{name} {path} {host}: {answer}");
    }
    // Somebody who has seen alice's certificate, and has a key of his own.
    let stolen = match std::panic::catch_unwind(|| copied.chain()) {
        Ok(_) => stage.ask(ONE, Some(&copied), "/stolen").await,
        Err(_) => "no such chain".to_owned(),
    };
    assert!(!stolen.contains("application one"), "{stolen}");
    for (recorder, own) in [(&stage.one, "alice"), (&stage.two, "bob")] {
        for seen in recorder.seen() {
            let line = seen.head.lines().next().unwrap();
            assert!(line.contains("/ready") || line.contains(&format!("/of-{own}-")), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_of_a_header_is_refused_and_others_are_served() {
    let stage = Stage::start().await;
    let fields = |count: usize, length: usize| {
        (0..count).map(|n| format!("x-{n}: {}\r\n", "a".repeat(length))).collect::<String>()
    };
    for (what, line, lines, expect) in [
        ("eighty fields", "/ok".to_owned(), fields(80, 10), &["200"][..]),
        ("ninety-five fields", "/x".to_owned(), fields(95, 1), &["431"]),
        ("two hundred fields", "/x".to_owned(), fields(200, 1), &["431"]),
        ("100,000 fields", "/x".to_owned(), fields(100_000, 1), &["431"]),
        ("a field of a mebibyte", "/x".to_owned(), fields(1, 1 << 20), &["431"]),
        ("a path of 70 kB", format!("/{}", "a".repeat(70_000)), String::new(), &["414", "431"]),
        ("a name of 70 kB", "/x".to_owned(), format!("{}: 1\r\n", "a".repeat(70_000)), &["400", "431"]),
    ] {
        for who in [None, Some(&stage.alice)] {
            let request = format!("GET {line} HTTP/1.1\r\nHost: {ONE}\r\n{lines}\r\n");
            let answer = stage.send(ONE, who, request.as_bytes()).await;
            let status = answer.get(9..12).unwrap_or("431");
            let is_let_in = who.is_none() && status == "302" && expect == ["200"];
            assert!(is_let_in || expect.contains(&status), "{what}: {answer:.300}");
        }
    }
    assert!(stage.one.seen().iter().all(|seen| !seen.head.starts_with("GET /x")), "a header that is too large went on");
    assert!(stage.ask(ONE, Some(&stage.alice), "/after").await.contains("application one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_login_page_leads_nowhere_else() {
    let stage = Stage::start().await;
    let own = format!("https://{PROXY}:{}/web/launch/", stage.proxy.port());
    let long = "a".repeat(60_000);
    let encoded = "%2f%2fevil.example%0d%0aevil:%201".repeat(1000);
    let places = [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2f%2fevil.example",
        "https://evil.example",
        "https:evil.example",
        "/evil@evil.example",
        "@evil.example",
        "x@evil.example",
        ".evil.example",
        "evil.example%0d%0aevil:%201",
        "evil.example%0d%0a%0d%0a<script>",
        "evil.example%00",
        "%E2%80%AEevil.example",
        "evil。example",
        "ｅvil.example",
        "<script>alert(1)</script>",
        "\"onload=evil",
        "..%2f..%2fevil",
        "../../evil",
        "javascript:evil",
        "evil.example?path=//evil&query=x",
        "evil.example/?path=https://evil.example",
        "evil.example#@evil",
        "[::1]",
        "one.proxy.localhost:443",
        &long,
        &encoded,
    ];
    for place in places {
        for (name, path) in [
            (PROXY, format!("/web/launch/{place}")),
            (PROXY, format!("/web/login?application={place}")),
            (PROXY, format!("/{place}")),
            (ONE, format!("/{place}")),
            (ONE, format!("/?path={place}")),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            let answer = stage.send(name, None, request.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let what = format!("{name} {path:.200}: {head:.600}");
            assert!(head.len() < 16 * 1024, "{what}");
            for line in head.lines() {
                let line = line.to_ascii_lowercase();
                assert!(!line.starts_with("evil") && !line.starts_with("refresh"), "{what}");
                let Some(location) = line.strip_prefix("location: ") else { continue };
                let is_own = location.starts_with(&own)
                    || (name == PROXY && location.starts_with("/web/login") && !location.starts_with("//"));
                assert!(is_own && !location.contains(['\\', '@', '<', '"']), "{what}");
            }
            assert!(!body.contains("<script") && !body.contains("\"onload"), "{what}: {body}");
        }
    }
    // A host that the connection was not opened for.
    for host in ["evil.example", "evil.example:443", "evil.example@x", "x.proxy.localhost"] {
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = stage.send("127.0.0.1", None, request.as_bytes()).await.to_ascii_lowercase();
        let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
        assert!(location.is_none_or(|location| location.starts_with(&own)), "{host}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_an_upload_keeps_nobody_of_the_session_waiting() {
    let stage = Stage::start().await;
    let mut uploads = Vec::new();
    for number in 0..4 {
        let mut stream = stage.connect(ONE, Some(&stage.alice), b"http/1.1").await.unwrap();
        let head = format!("POST /early-{number} HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 1000000\r\n\r\nhello");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = until_quiet(&mut stream, Duration::from_millis(700)).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        uploads.push(stream);
    }
    for number in 0..8 {
        let path = format!("/meanwhile-{number}");
        let asked = tokio::time::timeout(Duration::from_secs(5), stage.ask(ONE, Some(&stage.alice), &path)).await;
        assert!(asked.is_ok_and(|answer| answer.contains(&path)), "{path} had to wait for an upload of somebody else");
    }
}
