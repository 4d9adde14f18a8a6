//! HTTP/2 by hand: requests that no library would write, and floods of frames that cost a client next to nothing. Nothing
//! of it reaches an application as a request, memory stays bounded, and everybody else is served meanwhile.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::support::{
    applications::{AMBIGUOUS, Bystander, ONE, PROXY, Stage, TWO, connect, until_quiet},
    memory::Alone,
    people::Person,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// How long an ordinary request may take meanwhile, in a build without optimisation, both ends in this process.
const PROMPT: Duration = Duration::from_secs(15);

/// How much more memory this whole process may hold after an attack.
const MEMORY: u64 = 128 << 20;

/// One HTTP/2 connection, frame by frame.
struct Frames(TlsStream<TcpStream>);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Field lines as HPACK literals (RFC 7541 §6.2.2), neither indexed nor compressed.
fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fn text(into: &mut Vec<u8>, bytes: &[u8]) {
        let mut length = bytes.len();
        if length < 127 {
            into.push(u8::try_from(length).unwrap());
        } else {
            into.push(127);
            length -= 127;
            while length >= 128 {
                into.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            into.push(u8::try_from(length).unwrap());
        }
        into.extend_from_slice(bytes);
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name.as_bytes());
        text(&mut block, value);
    }
    block
}

fn get<'a>(host: &'a str, path: &'a str) -> Vec<(&'a str, &'a [u8])> {
    vec![(":method", b"GET"), (":scheme", b"https"), (":authority", host.as_bytes()), (":path", path.as_bytes())]
}

impl Frames {
    async fn open(stage: &Stage, name: &str, who: Option<&Person>, settings: &[u8]) -> Self {
        let mut stream = stage.connect(name, who, b"h2").await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        Self(stream)
    }

    /// Writes until the other end takes no more, and says how much that was. Nothing is read meanwhile.
    async fn flood(&mut self, bytes: &[u8], times: usize) -> usize {
        let mut sent = 0;
        for _ in 0..times {
            match timeout(Duration::from_secs(2), self.0.write_all(bytes)).await {
                Ok(Ok(())) => sent += 1,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        sent
    }

    /// The kinds of the frames that come until the other end closes or is silent; whether it closed.
    async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut kinds = Vec::new();
        loop {
            let mut head = [0; 9];
            let read = timeout(Duration::from_millis(1500), async {
                self.0.read_exact(&mut head).await?;
                let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                self.0.read_exact(&mut payload).await?;
                Ok::<_, io::Error>(())
            });
            match read.await {
                Ok(Ok(())) => kinds.push(head[3]),
                Ok(Err(_)) => return (kinds, true),
                Err(_) => return (kinds, false),
            }
        }
    }

    /// Whether the other end ends the connection, or says that it will.
    async fn is_ended(&mut self) -> bool {
        let (kinds, is_closed) = self.rest().await;
        is_closed || kinds.contains(&GOAWAY)
    }
}

type Fields = Vec<(&'static str, Vec<u8>)>;

/// What it is, the fields, the body, and whether the application may see it.
type Case = (&'static str, Fields, &'static [u8], bool);

fn cases() -> Vec<Case> {
    let owned = |fields: &[(&'static str, &[u8])]| -> Fields {
        fields.iter().map(|(name, value)| (*name, value.to_vec())).collect()
    };
    let plain = owned(&get(ONE, "/@"));
    let with = |name: &'static str, value: &[u8]| [plain.clone(), vec![(name, value.to_vec())]].concat();
    let but = |name: &str, value: &[u8]| -> Fields {
        let changed = |(key, old): (&'static str, Vec<u8>)| (key, if key == name { value.to_vec() } else { old });
        plain.clone().into_iter().map(changed).collect()
    };
    let without = |name: &str| -> Fields { plain.clone().into_iter().filter(|(key, _)| *key != name).collect() };
    let mut cases: Vec<Case> = vec![
        ("an ordinary one", plain.clone(), b"", true),
        ("a line break in a value", with("x-a", b"1\r\nGET /smuggled HTTP/1.1"), b"", false),
        ("a line feed in a value", with("x-a", b"1\nevil: 1"), b"", false),
        ("a carriage return in a value", with("x-a", b"1\revil: 1"), b"", false),
        ("a NUL in a value", with("x-a", b"1\0evil"), b"", false),
        ("a line break in a name", with("x-a\r\nevil", b"1"), b"", false),
        ("a colon in a name", with("x-a: 1\r\nevil", b"1"), b"", false),
        ("a space in a name", with("x a", b"1"), b"", false),
        ("capitals in a name", with("X-A", b"1"), b"", false),
        ("no name", with("", b"1"), b"", false),
        ("a coding", with("transfer-encoding", b"chunked"), b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", false),
        ("connection", with("connection", b"close"), b"", false),
        ("keep-alive", with("keep-alive", b"5"), b"", false),
        ("proxy-connection", with("proxy-connection", b"close"), b"", false),
        ("upgrade", with("upgrade", b"h2c"), b"", false),
        ("a coding of hops", with("te", b"gzip"), b"", false),
        ("more than it said", with("content-length", b"2"), b"hiGET /smuggled HTTP/1.1\r\n\r\n", false),
        ("less than it said", with("content-length", b"50"), b"hi", false),
        ("two lengths", [with("content-length", b"2"), owned(&[("content-length", b"30")])].concat(), b"hi", false),
        ("no length", with("content-length", b"x"), b"hi", false),
        ("a length with a sign", with("content-length", b"+2"), b"hi", false),
        ("a second path", with(":path", b"/smuggled"), b"", false),
        ("a second authority", with(":authority", TWO.as_bytes()), b"", false),
        ("a field of its own", with(":evil", b"1"), b"", false),
        ("a status", with(":status", b"200"), b"", false),
        ("another protocol", with(":protocol", b"websocket"), b"", false),
        ("no path", without(":path"), b"", false),
        ("no method", without(":method"), b"", false),
        ("no scheme", without(":scheme"), b"", false),
        ("no authority", without(":authority"), b"", false),
        ("no authority, but a host", [without(":authority"), owned(&[("host", ONE.as_bytes())])].concat(), b"", true),
        ("another host", with("host", TWO.as_bytes()), b"", false),
        ("the host again", with("host", ONE.as_bytes()), b"", true),
        ("two hosts", [with("host", ONE.as_bytes()), owned(&[("host", ONE.as_bytes())])].concat(), b"", false),
        ("a late field", [vec![("x-a", b"1".to_vec())], plain.clone()].concat(), b"", false),
        ("a tunnel", owned(&[(":method", b"CONNECT"), (":authority", b"one.proxy.localhost:443")]), b"", false),
        ("a trace", but(":method", b"TRACE"), b"", false),
        ("an assertion", with("teleport-jwt-assertion", b"evil"), b"", true),
        ("an address", with("x_forwarded_for", b"evil"), b"", true),
        ("a session", with("cookie", b"__Host-grv_app_session=evil"), b"", true),
    ];
    for path in
        [&b"/@\r\nevil: 1"[..], b"/@ HTTP/1.1\r\nevil: 1", b"/@\0", b"", b"@", b"http://two.proxy.localhost/@", b"*"]
    {
        cases.push(("a path that is none", but(":path", path), b"", false));
    }
    for method in [&b"GET /smuggled HTTP/1.1\r\n"[..], b"GET\r\nevil: 1", b"G ET", b""] {
        cases.push(("a method that is none", but(":method", method), b"", false));
    }
    for scheme in [&b"https://two.proxy.localhost/?"[..], b"h\r\nttps"] {
        cases.push(("a scheme that is none", but(":scheme", scheme), b"", false));
    }
    for host in [
        &b"two.proxy.localhost"[..],
        b"one.proxy.localhost@two.proxy.localhost",
        b"one.proxy.localhost/smuggled",
        b"one.proxy.localhost?x",
        b"one.proxy.localhost#x",
        b"one.proxy.localhost\r\nevil: 1",
        b"one.proxy.localhost, two.proxy.localhost",
        b"[one.proxy.localhost]",
        b"one.proxy.localhost:x",
        b"",
    ] {
        cases.push(("an authority that is none", but(":authority", host), b"", false));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_http_2_become_no_lines_of_http_1() {
    let stage = Arc::new(Stage::start().await);
    let mut running = JoinSet::new();
    for (number, (what, fields, body, may_pass)) in cases().into_iter().enumerate() {
        let stage = Arc::clone(&stage);
        running.spawn(async move {
            let name = format!("stream-{number}.");
            let named = |value: Vec<u8>| match value.iter().position(|byte| *byte == b'@').filter(|at| *at < 30) {
                Some(at) if !value.starts_with(b"one") => [&value[..at], name.as_bytes(), &value[at + 1..]].concat(),
                _ => value,
            };
            let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, named(value))).collect();
            let lines: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            let mut frames = Frames::open(&stage, ONE, Some(&stage.alice), &[]).await;
            let flags = if body.is_empty() { END_STREAM | END_HEADERS } else { END_HEADERS };
            let _ = frames.0.write_all(&frame(HEADERS, flags, 1, &block(&lines))).await;
            if !body.is_empty() {
                let _ = frames.0.write_all(&frame(DATA, END_STREAM, 1, body)).await;
            }
            let (kinds, is_closed) = frames.rest().await;
            let seen = stage.one.with_line(&name);
            let victim = format!("/victim-{number}.");
            let next = stage.ask(ONE, Some(&stage.alice), &victim).await;
            let is_answered = is_closed || [HEADERS, RST_STREAM, GOAWAY].iter().any(|kind| kinds.contains(kind));
            let is_well = is_answered && seen.len() == usize::from(may_pass) && next.contains(&victim);
            (!is_well).then(|| {
                format!("{what}: {lines:?}: frames {kinds:?}, the application saw {seen:?}, next: {next:.200}")
            })
        });
    }
    let count = running.len();
    let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for seen in stage.one.seen() {
        assert!(!seen.head.contains("evil") && !seen.head.contains("smuggled"), "{seen:?}");
        assert!(!seen.body.starts_with(AMBIGUOUS.as_bytes()), "{seen:?}");
    }
    assert!(stage.two.seen().iter().all(|seen| seen.head.starts_with("GET /ready ")), "{:?}", stage.two.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_end_or_wait_and_hold_no_memory() {
    let alone = Alone::here().await;
    let stage = Stage::start().await;
    let before = alone.resident();
    let bystander = Bystander::watch(&stage);
    let (names, alice) = ([(ONE, true), (PROXY, false)], &stage.alice);
    for (name, is_known) in names {
        let who = is_known.then_some(alice);
        let open = |settings: &'static [u8]| Frames::open(&stage, name, who, settings);
        let fields = block(&get(name, "/reset"));

        // Opened and reset, over and over (CVE-2023-44487).
        let mut frames = open(&[]).await;
        let mut flood = Vec::new();
        for number in 0..20_000 {
            let id = 2 * number + 1;
            flood.extend_from_slice(&frame(HEADERS, END_STREAM | END_HEADERS, id, &fields));
            flood.extend_from_slice(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
        }
        let _ = timeout(Duration::from_secs(5), frames.0.write_all(&flood)).await;
        assert!(frames.is_ended().await, "{name}: resets");

        // A header that never ends (CVE-2024-27316).
        for (size, times) in [(16_384, 4096), (0, 300_000), (1, 300_000)] {
            let mut frames = open(&[]).await;
            frames.0.write_all(&frame(HEADERS, 0, 1, &fields)).await.unwrap();
            let payload = block(&[("x", &vec![b'x'; usize::max(size, 200) - 200])]);
            let payload = if size > 200 { &payload[..] } else { &payload[..size] };
            let sent = frames.flood(&frame(CONTINUATION, 0, 1, payload), times).await;
            assert!(sent < times, "{name}: {sent} continuations of {size} bytes were taken");
        }

        // Frames that must be answered, by somebody who does not read the answers.
        for (what, flood) in [
            ("settings", frame(SETTINGS, 0, 0, &[])),
            ("pings", frame(PING, 0, 0, &[7; 8])),
            ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
            ("windows", frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
            ("unknown", frame(0xfa, 0, 0, &[7; 100])),
            ("empty data", frame(DATA, 0, 1, &[])),
        ] {
            let mut frames = open(&[]).await;
            frames.0.write_all(&frame(HEADERS, END_HEADERS, 1, &block(&get(name, "/slow")))).await.unwrap();
            frames.flood(&flood.repeat(1000), 300).await;
            let grown = alone.resident().saturating_sub(before);
            assert!(grown < MEMORY, "{name}: {what}: {} MiB more", grown >> 20);
        }

        // More room than there is (RFC 9113 §6.9.1), and none.
        for flood in [frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), frame(WINDOW_UPDATE, 0, 0, &[0; 4])] {
            let mut frames = open(&[]).await;
            frames.flood(&flood, 2).await;
            assert!(frames.is_ended().await, "{name}: windows");
        }
    }
    let resets = stage.one.with_line("/reset").len();
    assert!(resets < 5000, "{resets} requests that nobody waited for reached the application");
    bystander.was_served_within(PROMPT, "floods of frames").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_makes_nobody_hold_much() {
    let alone = Alone::here().await;
    let stage = Stage::start().await;
    let bystander = Bystander::watch(&stage);
    let before = alone.resident();
    // SETTINGS_INITIAL_WINDOW_SIZE 0: 40 answers of a mebibyte that may not be sent.
    let mut unread = Vec::new();
    for _ in 0..2 {
        let mut frames = Frames::open(&stage, ONE, Some(&stage.alice), &[0, 4, 0, 0, 0, 0]).await;
        for number in 0..20 {
            let fields = block(&get(ONE, "/big"));
            frames.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &fields)).await.unwrap();
        }
        unread.push(frames);
    }
    // Requests one behind the other, and nobody who reads the answers.
    let requests = format!("GET /webapi/find HTTP/1.1\r\nHost: {PROXY}\r\n\r\n").repeat(100);
    let mut pipelined = Vec::new();
    for _ in 0..5 {
        let mut stream = stage.connect(PROXY, None, b"http/1.1").await.unwrap();
        for _ in 0..100 {
            let written = stream.write_all(requests.as_bytes());
            if !matches!(timeout(Duration::from_millis(300), written).await, Ok(Ok(()))) {
                break;
            }
        }
        pipelined.push(stream);
    }
    sleep(Duration::from_secs(1)).await;
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < 2 * MEMORY, "{} MiB more", grown >> 20);
    bystander.was_served_within(PROMPT, "unread answers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_never_gets_to_the_point_keeps_nobody_out() {
    let alone = Alone::here().await;
    let stage = Stage::start().await;
    let before = alone.resident();
    let mut silent = Vec::new();
    for number in 0..1000_u32 {
        let socket = TcpSocket::new_v4().unwrap();
        let [.., last] = (number % 200 + 10).to_be_bytes();
        socket.bind(([127, 0, 1, last], 0).into()).unwrap();
        silent.push(socket.connect(stage.proxy).await.unwrap());
    }
    // The first bytes of a ClientHello, of SSH, of a PROXY header.
    let begins: [&[u8]; 4] =
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SS", b"PROXY TCP4 1.2", b"\r\n\r\n\0\r\nQUI"];
    for begin in begins {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(stage.proxy).await.unwrap();
            stream.write_all(begin).await.unwrap();
            silent.push(stream);
        }
    }
    // Half a header, with and without a certificate.
    let mut half = Vec::new();
    for number in 0..100 {
        let who = (number % 2 == 0).then_some(&stage.alice);
        let mut stream = stage.connect(ONE, who, b"http/1.1").await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: {ONE}\r\nX-Slow: ");
        stream.write_all(head.as_bytes()).await.unwrap();
        half.push(stream);
    }
    // Half a body.
    for _ in 0..50 {
        let mut stream = stage.connect(ONE, Some(&stage.alice), b"http/1.1").await.unwrap();
        let head = format!("POST /half HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 1000\r\n\r\nx");
        stream.write_all(head.as_bytes()).await.unwrap();
        half.push(stream);
    }
    let bystander = Bystander::watch(&stage);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        for stream in &mut half {
            let _ = stream.write_all(b"x").await;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    bystander.was_served_within(PROMPT, "1,550 connections that get nowhere").await;
    assert!(stage.one.with_line("/half").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_asked_for_once_and_in_http_1() {
    let stage = Stage::start().await;
    let mut frames = Frames::open(&stage, PROXY, None, &[]).await;
    let mut fields = get(PROXY, "/webapi/connectionupgrade");
    fields.push(("x-teleport-upgrade", b"alpn"));
    frames.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await.unwrap();
    let (kinds, _) = frames.rest().await;
    assert!(kinds.contains(&HEADERS), "an answer: {kinds:?}");

    let request = format!(
        "GET /webapi/connectionupgrade HTTP/1.1\r\nHost: {PROXY}\r\nConnection: Upgrade\r\nUpgrade: alpn\r\n\r\n"
    );
    let mut outer = stage.connect(PROXY, None, b"http/1.1").await.unwrap();
    outer.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(outer.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let options = crypto::tls::ClientOptions {
        trust: crypto::tls::Trust::DangerAnyServer,
        certificate: None,
        alpn: vec![b"http/1.1".to_vec()],
    };
    let config = crypto::tls::client_config(options, &clock::Clock::system()).unwrap();
    let inner = tokio_rustls::TlsConnector::from(config).connect(PROXY.try_into().unwrap(), outer).await;
    let mut inner = inner.unwrap();
    inner.write_all(request.as_bytes()).await.unwrap();
    let answer = until_quiet(&mut inner, Duration::from_millis(700)).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "an upgrade inside an upgrade: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_anybody_can_claim_is_told_but_not_relied_on() {
    let stage = Stage::start().await;
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.8 1000 443\r\n";
    let options = crypto::tls::ClientOptions {
        trust: crypto::tls::Trust::DangerAnyServer,
        certificate: None,
        alpn: vec![crypto::tls::auth_alpn("test.example"), b"h2".to_vec()],
    };
    let config = crypto::tls::client_config(options, &clock::Clock::system()).unwrap();
    let mut stream = TcpStream::connect(stage.proxy).await.unwrap();
    stream.write_all(line).await.unwrap();
    let name = crypto::tls::AUTH_SERVER_NAME.try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await.unwrap();
    let raw = crate::support::raw::Raw::over(stream).await;
    let path = <api::methods::proto::auth_service::Ping as api::methods::Method>::PATH;
    let answer = raw.call(path, b"").await;
    let ping = <api::r#gen::proto::PingResponse as prost::Message>::decode(answer.message_bytes()).unwrap();
    assert_eq!(ping.remote_addr, "203.0.113.9:0", "the port says that it is hearsay");
    // Others are served from where they say that they are, too.
    let answer = connect(stage.proxy, ONE, Some(&stage.alice), b"http/1.1", [127, 0, 0, 7]).await;
    assert!(answer.is_ok());
}
