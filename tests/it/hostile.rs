//! What strangers and buggy programs send: each gets a clear answer or is dropped, memory stays bounded, and everybody
//! else is served meanwhile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use api::{
    r#gen::proto,
    methods::{
        Method,
        proto::{
            auth_service::{self as calls, Ping},
            join_service::RegisterUsingToken,
        },
        teleport::{machineid::v1::bot_service::CreateBot, users::v1::users_service::CreateUser},
    },
};
use bytes::Bytes;
use prost::Message;
use serde_json::json;
use testkit::Cluster;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    memory::Alone,
    people::{self, document},
    raw::{self, Answer, Raw, code, framed},
};

/// Ping's answer must not take longer than this, whatever else goes on: half of what those who say nothing are waited for.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);

/// How much more memory this whole process (both ends of every connection) may hold after an attack.
const MEMORY: u64 = 256 << 20;

async fn assert_prompt(connection: &Raw, during: &str) {
    let since = Instant::now();
    let answer = connection.call(Ping::PATH, b"").await;
    assert!(answer.is(code::OK) && since.elapsed() < PROMPT, "{during}: Ping took {:?}: {answer:?}", since.elapsed());
}

/// The role `access`, with a Cyrillic letter. People may be called so; what is referred to by name may not.
const LOOK_ALIKE: &str = "\u{430}ccess";

/// Names that no resource may have.
fn bad_names() -> Vec<(&'static str, String)> {
    vec![
        ("empty", String::new()),
        ("a mebibyte", "a".repeat(1 << 20)),
        ("a long label", "a".repeat(4096)),
        ("a control character", "a\u{7}b".into()),
        ("a line break", "a\nb".into()),
        ("a NUL", "a\0b".into()),
        ("a way up", "../../etc/passwd".into()),
        ("two dots", "..".into()),
        ("a slash", "a/b".into()),
        ("an override of direction", "a\u{202e}b".into()),
        ("no width", "a\u{200b}b".into()),
        ("a combining form", "e\u{301}".into()),
        ("a look-alike", LOOK_ALIKE.into()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_names_and_times_are_called_invalid() {
    let cluster = Cluster::start().await;
    let admin = Raw::administrator(&cluster.server().admin_socket()).await;
    let named = |name: &str| json!({"name": name});
    let mut wrong = Vec::new();
    for (what, name) in bad_names() {
        let role = document(json!({"kind": "role", "version": "v7", "metadata": named(&name), "spec": {}}));
        let user =
            document(json!({"kind": "user", "version": "v2", "metadata": named(&name), "spec": {"roles": ["access"]}}));
        let bot = document(json!({"kind": "bot", "version": "v1", "metadata": named(&name), "spec": {}}));
        let lock = document(
            json!({"kind": "lock", "version": "v2", "metadata": named(&name), "spec": {"target": {"user": "a"}}}),
        );
        let token = document(json!({"kind": "token", "version": "v2", "metadata": named(&name),
            "spec": {"roles": ["Node"], "join_method": "token"}}));
        let app =
            document(json!({"kind": "app", "version": "v3", "metadata": named(&name), "spec": {"uri": "http://a:1"}}));
        let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
        let requests = [
            (
                calls::CreateRole::PATH,
                proto::CreateRoleRequest { role: Some(api::convert::role::to_wire(&role)) }.encode_to_vec(),
            ),
            (
                CreateUser::PATH,
                api::r#gen::teleport::users::v1::CreateUserRequest { user: Some(api::convert::user::to_wire(&user)) }
                    .encode_to_vec(),
            ),
            (
                CreateBot::PATH,
                api::r#gen::teleport::machineid::v1::CreateBotRequest { bot: Some(api::convert::bot::to_wire(&bot)) }
                    .encode_to_vec(),
            ),
            (calls::UpsertLock::PATH, api::convert::lock::to_wire(&lock).encode_to_vec()),
            (calls::CreateTokenV2::PATH, proto::CreateTokenV2Request { token: Some(token) }.encode_to_vec()),
            (calls::CreateApp::PATH, api::convert::app::to_wire(&app).encode_to_vec()),
        ];
        for (path, request) in requests {
            let answer = admin.call(path, &request).await;
            // The name of a token or a lock may be made by the server.
            let is_fine = answer.is_success()
                && (name.is_empty() && !path.ends_with("Role") && !path.ends_with("Bot")
                    || name == LOOK_ALIKE && path == CreateUser::PATH);
            if !(is_fine || answer.is(code::INVALID_ARGUMENT) && answer.message.len() <= 4096) {
                wrong.push(format!("{path}: {what}: {:?} {}", answer.code, cut(&answer.message)));
            }
        }
        let read = proto::GetRoleRequest { name: name.clone() }.encode_to_vec();
        let answer = admin.call(calls::GetRole::PATH, &read).await;
        if !(answer.is(code::INVALID_ARGUMENT) || answer.is(code::NOT_FOUND)) {
            wrong.push(format!("GetRole: {what}: {:?} {}", answer.code, cut(&answer.message)));
        }
        let join = people::join_request(&name, &people::key()).encode_to_vec();
        let answer = Raw::stranger(cluster.address()).await.call(RegisterUsingToken::PATH, &join).await;
        let is_refused = [code::PERMISSION_DENIED, code::INVALID_ARGUMENT, code::RESOURCE_EXHAUSTED];
        if !is_refused.into_iter().any(|code| answer.is(code)) {
            wrong.push(format!("a join: {what}: {:?} {}", answer.code, cut(&answer.message)));
        }
    }
    for (what, path, request) in bad_times() {
        let answer = admin.call(path, &request).await;
        if !answer.is(code::INVALID_ARGUMENT) {
            wrong.push(format!("{path}: {what}: {:?} {}", answer.code, cut(&answer.message)));
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_prompt(&admin, "bad names").await;
    cluster.stop().await;
}

fn cut(text: &str) -> &str {
    text.get(..text.len().min(200)).unwrap_or("…")
}

/// Times, sizes and kinds that mean nothing.
fn bad_times() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut role = api::convert::role::to_wire(&document(
        json!({"kind": "role", "version": "v7", "metadata": {"name": "timely"}, "spec": {}}),
    ));
    let metadata = role.metadata.get_or_insert_default();
    metadata.expires = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let mut hasty = role.clone();
    hasty.metadata.get_or_insert_default().expires = None;
    hasty.spec.get_or_insert_default().options.get_or_insert_default().max_session_ttl = -1;
    let list = |limit| proto::ListRolesRequest { limit, ..Default::default() }.encode_to_vec();
    let invite =
        |ttl| proto::CreateResetPasswordTokenRequest { name: "x".into(), r#type: "invite".into(), ttl }.encode_to_vec();
    let kind = |kind: &str| proto::Watch {
        kinds: vec![api::r#gen::types::WatchKind { kind: kind.into(), ..Default::default() }],
        allow_partial_success: false,
    };
    vec![
        (
            "an expiry beyond all time",
            calls::CreateRole::PATH,
            proto::CreateRoleRequest { role: Some(role) }.encode_to_vec(),
        ),
        (
            "sessions of less than nothing",
            calls::CreateRole::PATH,
            proto::CreateRoleRequest { role: Some(hasty) }.encode_to_vec(),
        ),
        ("a negative page", calls::ListRoles::PATH, list(-1)),
        ("the most negative page", calls::ListRoles::PATH, list(i32::MIN)),
        ("a negative life", calls::CreateResetPasswordToken::PATH, invite(-1)),
        ("a watch of nothing", calls::WatchEvents::PATH, proto::Watch::default().encode_to_vec()),
        ("a watch of an unknown kind", calls::WatchEvents::PATH, kind("no_such_kind").encode_to_vec()),
        ("a kind with a NUL", calls::WatchEvents::PATH, kind("role\0").encode_to_vec()),
    ]
}

/// What it is, the body, further headers, and the codes of which one is the answer.
type Case = (&'static str, Bytes, &'static [(&'static str, &'static str)], &'static [i32]);

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_refused_and_hold_no_memory() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let stranger = Raw::stranger(cluster.address()).await;
    let gzipped: &[_] = &[("grpc-encoding", "gzip")];
    let bomb = framed(&gzip(&vec![0; 512 << 20]), true);
    let before = alone.resident();
    let path = RegisterUsingToken::PATH;
    let cases: Vec<Case> = vec![
        ("5 MiB", framed(&vec![0; 5 << 20], false), &[], &[code::RESOURCE_EXHAUSTED]),
        ("half a gibibyte in 500 kB", bomb, gzipped, &[code::RESOURCE_EXHAUSTED]),
        ("a length beyond all", Bytes::from_static(b"\0\xff\xff\xff\xff"), &[], &[code::RESOURCE_EXHAUSTED]),
        ("no gzip", framed(b"not gzip at all", true), gzipped, &[code::INVALID_ARGUMENT, code::INTERNAL]),
        ("an unknown compression", framed(b"x", true), &[("grpc-encoding", "br")], &[code::UNIMPLEMENTED]),
        ("a flag of its own", Bytes::from_static(b"\x07\0\0\0\0"), &[], &[code::INVALID_ARGUMENT, code::INTERNAL]),
        ("half a frame", Bytes::from_static(b"\0\0\0"), &[], &[code::INVALID_ARGUMENT, code::INTERNAL]),
        ("nothing at all", Bytes::new(), &[], &[code::INVALID_ARGUMENT, code::INTERNAL, code::UNIMPLEMENTED]),
        ("garbage", framed(b"\xff\xff\xff\xff\xff\xff", false), &[], &[code::INVALID_ARGUMENT, code::INTERNAL]),
    ];
    let mut wrong = Vec::new();
    for (what, body, headers, codes) in cases {
        let answer = match stranger.send(path, body, headers).await {
            Ok(answer) => answer,
            Err(error) => Answer { message: format!("{error:?}"), ..Answer::default() },
        };
        if !answer.code.is_some_and(|code| codes.contains(&code)) {
            wrong.push(format!("{what}: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Sixty bombs at a time: each must end as soon as it is too large.
    let bomb = framed(&gzip(&vec![0; 64 << 20]), true);
    let bombs = (0..60).map(|_| stranger.send(path, bomb.clone(), gzipped));
    futures_util::future::join_all(bombs).await;
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    assert_prompt(&Raw::stranger(cluster.address()).await, "bad messages").await;
    cluster.stop().await;
}

/// A connection on which frames are written by hand.
async fn by_hand(address: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = raw::connect(address, [127, 0, 0, 1], raw::tls(None)).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:method POST`, `:scheme https`, `:path /` by the static table, `:authority a`.
const HEADERS: &[u8] = b"\x83\x87\x84\x41\x01a";

/// Whether the server ends the connection within some seconds.
async fn ends(mut stream: impl AsyncReadExt + Unpin) -> bool {
    let mut sink = vec![0; 1 << 16];
    let all = async {
        while let Ok(read) = stream.read(&mut sink).await {
            if read == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_on_one_connection_end_it_alone() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let neighbour = Raw::stranger(cluster.address()).await;
    let before = alone.resident();

    // Rapid reset: streams opened and reset, without an end.
    let mut stream = by_hand(cluster.address()).await;
    let mut is_cut = false;
    for round in 0..200_u32 {
        let mut bytes = Vec::new();
        for number in 0..100 {
            let id = 1 + 2 * (round * 100 + number);
            bytes.extend(frame(1, 4, id, HEADERS));
            bytes.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
        }
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            is_cut = true;
            break;
        }
    }
    assert!(is_cut || ends(stream).await, "20,000 resets were taken");
    assert_prompt(&neighbour, "rapid reset").await;

    // Headers without an end: continuation after continuation.
    let mut stream = by_hand(cluster.address()).await;
    let mut is_cut = stream.write_all(&frame(1, 0, 1, HEADERS)).await.is_err();
    let field = [b"\0\x01a\x7f\x81\x1e".as_slice(), &[b'a'; 4000]].concat();
    for _ in 0..4000 {
        is_cut |= stream.write_all(&frame(9, 0, 1, &field)).await.is_err();
        if is_cut {
            break;
        }
    }
    assert!(is_cut || ends(stream).await, "16 MB of headers were taken");
    assert_prompt(&neighbour, "endless headers").await;

    // Pings and settings that each want an answer, from somebody who reads none.
    let mut stream = by_hand(cluster.address()).await;
    let pings: Vec<u8> = (0..1000).flat_map(|_| [frame(6, 0, 0, &[0; 8]), frame(4, 0, 0, &[])].concat()).collect();
    for _ in 0..100 {
        let writing = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&pings));
        if !matches!(writing.await, Ok(Ok(()))) {
            break;
        }
    }
    assert_prompt(&neighbour, "pings").await;
    drop(stream);

    // A thousand calls at a time on one connection: 250 are served, the others wait or are refused, none is lost.
    let waves = (0..1000).map(|_| neighbour.call(Ping::PATH, b""));
    assert!(futures_util::future::join_all(waves).await.iter().all(|answer| answer.is(code::OK)));
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    cluster.stop().await;
}

/// Connections that say nothing, or half of something, from an address of their own.
async fn silent(address: SocketAddr, count: u64, first: &[u8]) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for number in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        let source = [127, 66, 0, u8::try_from(number % 4).unwrap() + 1];
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        silent.push(stream);
    }
    silent
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_nowhere_do_not_hold_up_those_that_do() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let neighbour = Raw::stranger(cluster.address()).await;
    let before = alone.resident();
    let plain = silent(cluster.address(), 50, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for mut stream in plain {
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "plain HTTP is listened to");
    }
    // A record that promises a ClientHello and gives one byte of it.
    let half = silent(cluster.address(), 60, b"\x16\x03\x01\x02\x00\x01").await;
    let quiet = silent(cluster.address(), 60, b"").await;
    assert_prompt(&Raw::stranger(cluster.address()).await, "120 half-open connections").await;
    assert_prompt(&neighbour, "120 half-open connections").await;
    // Many more than there are places for.
    let more = silent(cluster.address(), alone.connections(3000, 2), b"").await;
    assert_prompt(&neighbour, "thousands of half-open connections").await;
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    // All places for handshakes are taken. Somebody from another address gets the next one that is free, before those who
    // came earlier: that is when the silent ones' time is up.
    let waited = Instant::now();
    let newcomer = raw::connect(cluster.address(), [127, 0, 0, 1], raw::tls(None));
    let newcomer = tokio::time::timeout(Duration::from_secs(12), newcomer).await.expect("a newcomer is kept out");
    assert_prompt(&Raw::over(newcomer.unwrap()).await, "thousands of half-open connections, to a newcomer").await;
    // Each is dropped when its time is up.
    for mut stream in half.into_iter().chain(quiet) {
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "a half-open connection lives on after {:?}", waited.elapsed());
    }
    drop(more);
    cluster.stop().await;
}

/// What a client says first.
fn client_hello() -> Vec<u8> {
    let name = crypto::tls::AUTH_SERVER_NAME.try_into().unwrap();
    let mut client = rustls::ClientConnection::new(raw::tls(None), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Says a ClientHello, a byte a second.
async fn dribble(mut stream: TcpStream, hello: Vec<u8>) {
    for byte in hello {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_of_one_address_keep_a_bot_of_another_waiting() {
    let alone = Alone::here().await;
    let cluster = Cluster::start().await;
    let before = alone.resident();
    let hello = client_hello();
    let crowd = [127, 88, 0, 1];
    let connect = async |first: &[u8]| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((crowd, 0))).unwrap();
        let mut stream = socket.connect(cluster.address()).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    };
    let (mut stalled, mut silent, mut dribbling) = (Vec::new(), Vec::new(), tokio::task::JoinSet::new());
    for number in 0..alone.connections(2000, 2) {
        match number % 4 {
            // All that a client says before the server has said something, and nothing after it.
            0 => stalled.push(connect(&hello).await),
            1 => {
                dribbling.spawn(dribble(connect(&hello[..1]).await, hello[1..].to_vec()));
            }
            _ => silent.push(connect(b"").await),
        }
        if number % 500 == 499 {
            for round in 0..3 {
                let since = Instant::now();
                let bot = raw::connect(cluster.address(), [127, 0, 0, 1], raw::tls(None)).await.unwrap();
                assert!(Raw::over(bot).await.call(Ping::PATH, b"").await.is(code::OK));
                let took = since.elapsed();
                println!("a bot beside {} slow handshakes, round {round}: {took:?}", number + 1);
                assert!(took < PROMPT, "beside {} slow handshakes it took {took:?}", number + 1);
            }
        }
    }
    let grown = alone.resident().saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    // Nobody is banned: when the crowd has gone, its address is served like any other.
    drop((stalled, silent));
    dribbling.shutdown().await;
    let own = raw::connect(cluster.address(), crowd, raw::tls(None));
    let own = tokio::time::timeout(Duration::from_secs(25), own).await.expect("the address is shut out").unwrap();
    assert!(Raw::over(own).await.call(Ping::PATH, b"").await.is(code::OK));
    cluster.stop().await;
}
