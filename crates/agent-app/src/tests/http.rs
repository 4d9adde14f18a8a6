//! What an application sees, and what comes back.

use ::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use clock::{Clock, ManualClock};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, client::conn::http1, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};

use super::kit::{Cluster, Kit, Shown, app};
use crate::{Config, Hosts, ports::Happened};

/// How long what is bounded may take.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);

/// A proxy's connection: one request after another.
pub(super) struct Line {
    send: http1::SendRequest<Full<Bytes>>,
    _driving: JoinSet<()>,
}

impl Line {
    pub(super) async fn to(kit: &Kit, shown: &Shown) -> Self {
        let stream = kit.connect(shown, "http/1.1").await;
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { drop(connection.with_upgrades().await) });
        Self { send, _driving: driving }
    }

    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.send.ready().await.unwrap();
        self.send.send_request(request).await.unwrap()
    }

    /// Waits until the agent has closed it.
    pub(super) async fn ended(&mut self) {
        while !self.send.is_closed() {
            Clock::system().sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let response = self.ask(get(path).body(Full::default()).unwrap()).await;
        (response.status(), text(response).await)
    }
}

pub(super) fn get(path: &str) -> ::http::request::Builder {
    Request::get(path).header(header::HOST, "app.proxy.example")
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn serving(change: impl FnOnce(&mut domain::resources::App)) -> (Kit, Shown) {
    let (address, running) = super::application::start().await;
    let mut document = app("app", &format!("http://{address}"));
    change(&mut document);
    let mut kit = Kit::new(Config { apps: vec![document], ..Config::default() }).await;
    kit.run(running);
    let shown = kit.session("session-1", "app").await;
    (kit, shown)
}

#[tokio::test]
async fn an_application_is_told_who_calls_and_nothing_that_a_client_made_up() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    let request = get("/what?x=1")
        .header("teleport-jwt-assertion", "forged")
        .header("x-forwarded-user", "root")
        .header("x_forwarded_for", "1.1.1.1")
        .header("x-real-ip", "not an address")
        .header("connection", "close, teleport-jwt-assertion")
        .header("accept", "text/html");
    let seen = text(line.ask(request.body(Full::default()).unwrap()).await).await;
    let address = seen.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{seen}");
    let expect = [
        "GET /what?x=1 HTTP/1.1".to_owned(),
        "accept: text/html".to_owned(),
        format!("host: {address}"),
        "teleport-jwt-assertion: signed.app.0".to_owned(),
        "x-forwarded-for: 192.0.2.7".to_owned(),
        "x-forwarded-host: app.proxy.example".to_owned(),
        "x-forwarded-port: 443".to_owned(),
        "x-forwarded-proto: https".to_owned(),
        "x-forwarded-ssl: on".to_owned(),
        "x-real-ip: 192.0.2.7".to_owned(),
    ];
    assert_eq!(seen, expect.join("\n"));
    // The assertion is kept, and so is the connection.
    let mut line = Line::to(&kit, &shown).await;
    assert!(line.get("/").await.1.contains("signed.app.0"));
    assert!(line.get("/").await.1.contains("signed.app.0"));
}

#[tokio::test]
async fn redirects_lead_back_and_the_application_cannot_speak_for_us() {
    let (kit, shown) = serving(|_| {}).await;
    let response = Line::to(&kit, &shown).await.ask(get("/away").body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[header::LOCATION], "https://app.proxy.example/there?x=1");
    assert!(!response.headers().contains_key("x-teleport-hop"));
}

#[tokio::test]
async fn an_application_sets_cookies_of_its_own_only() {
    let (kit, shown) = serving(|_| {}).await;
    let response = Line::to(&kit, &shown).await.ask(get("/cookies").body(Full::default()).unwrap()).await;
    let cookies: Vec<_> = response.headers().get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(cookies, ["a=b"]);
}

#[tokio::test]
async fn a_wish_for_trailers_is_one_of_the_connection() {
    let (kit, shown) = serving(|_| {}).await;
    let request = get("/").header(header::TE, "trailers").body(Full::default()).unwrap();
    let seen = text(Line::to(&kit, &shown).await.ask(request).await).await;
    assert!(seen.contains("te: trailers") && seen.contains("connection: te"), "{seen}");
    let seen = Line::to(&kit, &shown).await.get("/").await.1;
    assert!(!seen.contains("te: ") && !seen.contains("connection: "), "{seen}");
}

#[tokio::test]
async fn nobody_follows_on_a_connection_that_the_application_knows_somebody_by() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    for (credentials, is_shared) in [
        ("Basic negotiate", true),
        ("NTLM TlRMTVNTUAAB", false),
        ("negotiate YII", false),
        ("Basic eA==, Negotiate", false),
    ] {
        let request = get("/").header(header::AUTHORIZATION, credentials).body(Full::default()).unwrap();
        let mut connections = Vec::new();
        for request in [request, get("/").body(Full::default()).unwrap()] {
            let response = line.ask(request).await;
            connections.push(response.headers()[super::application::CONNECTION_ID].clone());
            drop(text(response).await);
            // For the connection to be seen to wait for more.
            Clock::system().sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(connections[0] == connections[1], is_shared, "{credentials}");
    }
}

#[tokio::test]
async fn names_that_are_set_cannot_be_spelt_otherwise() {
    let (kit, shown) = serving(|app| {
        let headers = vec![domain::resources::app::Header { name: "X-Role".into(), value: "user".into() }];
        app.spec.rewrite = Some(domain::resources::app::Rewrite { headers, ..Default::default() });
    })
    .await;
    let request = get("/").header("x_role", "admin").header("X-ROLE", "admin").body(Full::default()).unwrap();
    let seen = text(Line::to(&kit, &shown).await.ask(request).await).await;
    assert!(seen.contains("x-role: user") && !seen.contains("admin"), "{seen}");
}

#[tokio::test]
async fn interim_answers_without_end_are_an_answer_of_ours() {
    let (address, flooding) = super::application::flooding().await;
    let kit = Kit::new(Config { apps: vec![app("app", &format!("http://{address}"))], ..Config::default() }).await;
    let mut line = Line::to(&kit, &kit.session("session-1", "app").await).await;
    let both = async { tokio::join!(flooding, line.get("/")) };
    let (_, (status, body)) = Clock::system().timeout(SOON, both).await.expect("the flood goes on");
    assert!(status == StatusCode::BAD_GATEWAY && body.contains("interim"), "{status} {body}");
}

#[tokio::test]
async fn an_application_that_takes_a_body_and_says_nothing_is_late() {
    let (address, taking) = super::application::mute().await;
    let manual = ManualClock::new(Clock::system().now());
    let apps = vec![app("app", &format!("http://{address}"))];
    let mut kit = Kit::with_clock(Config { apps, ..Config::default() }, manual.clock()).await;
    kit.run(taking);
    let mut line = Line::to(&kit, &kit.session("session-1", "app").await).await;
    let passing = async {
        loop {
            Clock::system().sleep(std::time::Duration::from_millis(20)).await;
            manual.advance(std::time::Duration::from_secs(15));
        }
    };
    let request = get("/").method("POST").body(Full::from("some")).unwrap();
    let response = tokio::select! {
        response = line.ask(request) => response,
        () = passing => unreachable!(),
    };
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.headers()["x-teleport-hop"], "application");
    let body = text(response).await;
    assert!(body.contains("300 s"), "{body}");
}

#[tokio::test]
async fn a_request_to_the_root_is_sent_to_where_the_application_begins() {
    let (kit, shown) = serving(|app| app.spec.uri.push_str("/start?a=b#c")).await;
    let mut line = Line::to(&kit, &shown).await;
    let response = line.ask(get("/").body(Full::default()).unwrap()).await;
    assert_eq!(
        (response.status(), &response.headers()[header::LOCATION]),
        (StatusCode::FOUND, &"/start?a=b#c".parse().unwrap())
    );
    drop(text(response).await);
    assert!(line.get("/start?a=b").await.1.contains("GET /start?a=b HTTP/1.1"));
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    let body = Full::new(Bytes::from(vec![1; 8 * 1024 * 1024]));
    let response = line.ask(get("/count").method("POST").body(body).unwrap()).await;
    assert_eq!(text(response).await, (8 * 1024 * 1024).to_string());

    let mut huge = line.ask(get("/huge").body(Full::default()).unwrap()).await.into_body();
    let mut length = 0;
    while let Some(frame) = huge.frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(length, 64 * 1024 * 1024);

    let mut events = line.ask(get("/events").body(Full::default()).unwrap()).await.into_body();
    let first = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n", "an event comes before the stream ends");
}

#[tokio::test]
async fn a_websocket_is_carried_and_ends_with_its_session() {
    let (kit, shown) = serving(|_| {}).await;
    let mut line = Line::to(&kit, &shown).await;
    let request = get("/socket").header("connection", "Upgrade").header("upgrade", "websocket");
    let response = line.ask(request.body(Full::default()).unwrap()).await;
    assert_eq!(
        (response.status(), &response.headers()[header::UPGRADE]),
        (StatusCode::SWITCHING_PROTOCOLS, &"websocket".parse().unwrap())
    );
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    socket.write_all(b"hello").await.unwrap();
    let mut buffer = [0; 5];
    socket.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"hello");

    kit.put(super::kit::lock("alice"));
    let ended = socket.read(&mut buffer).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "a lock ends a running connection, {ended:?}");
}

#[tokio::test]
async fn grpc_keeps_http2_and_its_trailers() {
    let (kit, shown) = serving(|_| {}).await;
    for stream in kit.connect_both(&shown, "h2").await {
        let (mut send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { drop(connection.await) });
        let request = Request::post("https://app.proxy.example/grpc")
            .header(header::CONTENT_TYPE, "application/grpc+proto")
            .header(header::TE, "trailers");
        let response = send.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["x-te"], "trailers");
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "HTTP/2.0");

        let plain = Request::get("https://app.proxy.example/").body(Empty::<Bytes>::new()).unwrap();
        let seen = text(send.send_request(plain).await.unwrap()).await;
        assert!(seen.contains("GET / HTTP/1.1") && seen.contains("x-forwarded-host: app.proxy.example"), "{seen}");
    }
}

#[tokio::test]
async fn an_application_that_is_not_there_is_named_with_hop_and_reason() {
    let (kit, shown) = serving(|app| app.spec.uri = "http://127.0.0.1:1".to_owned()).await;
    let request = get("/").header("x-teleport-request-id", "abc123");
    let response = Line::to(&kit, &shown).await.ask(request.body(Full::default()).unwrap()).await;
    assert_eq!(
        (response.status(), &response.headers()["x-teleport-hop"]),
        (StatusCode::BAD_GATEWAY, &"agent".parse().unwrap())
    );
    // The proxy says the rest.
    let body = text(response).await;
    assert!(body.starts_with("the application at 127.0.0.1:1 does not accept connections"), "{body}");
    assert!(!body.contains("502") && !body.contains("abc123"), "{body}");
}

#[tokio::test]
async fn addresses_that_are_denied_are_not_dialled_and_that_is_told() {
    let (address, _running) = super::application::start().await;
    let hosts = Hosts::parse(&[], &["127.0.0.0/8".to_owned()]).unwrap();
    let config = Config { apps: vec![app("app", &format!("http://{address}"))], hosts, ..Config::default() };
    let kit = Kit::new(config).await;
    let shown = kit.session("session-1", "app").await;
    let response = Line::to(&kit, &shown).await.ask(get("/").body(Full::default()).unwrap()).await;
    // Whoever reads "agent" shows another certificate.
    assert_eq!(
        (response.status(), &response.headers()["x-teleport-hop"]),
        (StatusCode::FORBIDDEN, &"agent-hosts".parse().unwrap())
    );
    let body = text(response).await;
    assert!(body.contains("denied_hosts") && !body.contains("127.0.0.1"), "{body}");
    let pick = |what: &Happened| match what {
        Happened::DialDenied(denied) => Some(denied.clone()),
        _ => None,
    };
    let denied = kit.until(|| kit.auth.reported(pick)).await;
    assert_eq!((denied.blocked.prefix.as_str(), denied.blocked.policy), ("127.0.0.0/8", "denied_hosts"));
    assert_eq!(format!("{}:{}", denied.target_host, denied.target_port), address);
}

#[tokio::test]
async fn only_addresses_that_are_allowed_are_dialled() {
    for (allowed, expect) in [("127.0.0.0/8", StatusCode::OK), ("10.0.0.0/8", StatusCode::FORBIDDEN)] {
        let (address, running) = super::application::start().await;
        let hosts = Hosts::parse(&[allowed.to_owned()], &[]).unwrap();
        let config = Config { apps: vec![app("app", &format!("http://{address}"))], hosts, ..Config::default() };
        let mut kit = Kit::new(config).await;
        kit.run(running);
        let shown = kit.session("session-1", "app").await;
        let (status, body) = Line::to(&kit, &shown).await.get("/").await;
        assert_eq!(status, expect, "{allowed}: {body}");
        assert_eq!(body.contains("allowed_hosts"), expect == StatusCode::FORBIDDEN, "{body}");
    }
}

#[tokio::test]
async fn an_application_over_tls_proves_who_it_is_unless_nobody_wants_to_know() {
    let cluster = Cluster::new().await;
    for (name, is_known, skips, expect) in [
        ("127.0.0.1", true, false, StatusCode::OK),
        ("127.0.0.1", false, false, StatusCode::BAD_GATEWAY),
        ("elsewhere.example", true, false, StatusCode::BAD_GATEWAY),
        ("elsewhere.example", false, true, StatusCode::OK),
    ] {
        let (chain, roots) = cluster.server(name).await;
        let (address, running) = super::application::start_with_tls(chain).await;
        let mut document = app("app", &format!("https://{address}"));
        document.spec.insecure_skip_verify = skips;
        let roots = if is_known { roots } else { Vec::new() };
        let mut kit = Kit::new(Config { apps: vec![document], roots, ..Config::default() }).await;
        kit.run(running);
        let shown = kit.session("session-1", "app").await;
        let (status, body) = Line::to(&kit, &shown).await.get("/what").await;
        assert_eq!(status, expect, "{name} {is_known} {skips}: {body}");
        let says = if expect == StatusCode::OK { "GET /what HTTP/1.1" } else { "TLS with the application at" };
        assert!(body.contains(says), "{name} {is_known} {skips}: {body}");
    }
}

#[tokio::test]
async fn answers_to_other_origins_carry_the_rules_of_the_application() {
    let (kit, shown) = serving(|app| {
        app.spec.cors = Some(domain::resources::app::CorsPolicy {
            allowed_origins: vec!["https://a.example".into()],
            ..Default::default()
        });
    })
    .await;
    let mut line = Line::to(&kit, &shown).await;
    let plain = get("/").header("origin", "https://a.example").body(Full::default()).unwrap();
    assert_eq!(line.ask(plain).await.headers()["access-control-allow-origin"], "https://a.example");
}

#[tokio::test]
async fn the_debug_application_shows_what_an_application_sees() {
    let kit = Kit::new(Config { debug_app: true, ..Config::default() }).await;
    let shown = kit.session("session-1", "dumper").await;
    let (status, body) = Line::to(&kit, &shown).await.get("/a?b").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with("GET /a?b ") && body.contains("teleport-jwt-assertion: signed.dumper.0"), "{body}");
}
