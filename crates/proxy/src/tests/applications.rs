use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use domain::resources::{App, AppServer, app::AppSpec, app_server::AppServerSpec};
use http::{Request, StatusCode, header::LOCATION};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    until,
    world::{AGENT, APP, PROXY, SESSION, get, text, world, world_with},
};
use crate::router::{H2, HTTP_1_1, TCP};

#[tokio::test]
async fn a_certificate_reaches_the_application_and_nothing_else_goes_along() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("bot-example", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let mut request = get(APP, "/api/users?a=b");
    for (name, value) in [
        ("teleport-jwt-assertion", "forged"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
        ("cookie", "a=1; __Host-grv_app_session=secret"),
        ("authorization", "Basic YWRtaW46YWRtaW4="),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-app"], "1");
    assert!(!response.headers().contains_key("x-hop"), "a header of the other connection");
    let seen = text(response).await;
    for line in [
        "user: bot-example",
        "GET /api/users?a=b",
        "host: grafana.proxy.example",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: grafana.proxy.example",
        "cookie: a=1",
        "authorization: Basic YWRtaW46YWRtaW4=",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line} is missing: {seen}");
    }
    for gone in ["forged", "6.6.6.6", "x-private", "secret", "__Host"] {
        assert!(!seen.contains(gone), "{gone} went on: {seen}");
    }
    for _ in 0..3 {
        let response = sender.send_request(get(APP, "/again")).await.unwrap();
        assert!(text(response).await.contains("GET /again"));
    }
    assert_eq!(world.sessions.asked.load(Ordering::Relaxed), 1, "a session is asked for once in five seconds");
}

#[tokio::test]
async fn whoever_has_no_good_certificate_is_led_to_the_login_page() {
    let world = world().await;
    let _agent = world.agent().await;
    let hour = Duration::from_secs(3600);
    let good = world.session("alice", "grafana", SESSION).await;
    let chain = |(certificate, key)| crypto::tls::CertificateChain::new(&[certificate], &key).unwrap();
    let bad = [
        ("no certificate", None),
        ("another key", Some(chain(world.users.user("alice", "grafana", SESSION, hour).await))),
        ("another user", Some(chain(world.users.user("mallory", "grafana", SESSION, hour).await))),
        ("another application", Some(world.session("alice", "prometheus", "other").await)),
        ("no such session", Some(chain(world.users.user("alice", "grafana", "guessed", hour).await))),
        ("no session", Some(chain(world.users.user("alice", "grafana", "", hour).await))),
        ("another authority", Some(chain(world.hosts.user("alice", "grafana", SESSION, hour).await))),
        ("a host", Some(chain(world.hosts.host("f00d", "Proxy", &[]).await))),
    ];
    for (what, certificate) in bad {
        let mut sender = world.http(APP, certificate).await;
        let response = sender.send_request(get(APP, "/d/x?from=a&to=//evil.example")).await.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND, "{what}");
        assert_eq!(
            response.headers()[LOCATION],
            "https://proxy.example:3080/web/launch/grafana.proxy.example\
             ?path=%2Fd%2Fx&query=from%3Da%26to%3D%2F%2Fevil.example",
            "{what}"
        );
    }
    let response = world.http(APP, Some(good)).await.send_request(get(APP, "/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the one that fits");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_its_session_is_told_to_auth_once() {
    let world = world().await;
    let hour = Duration::from_secs(3600);
    drop(world.session("alice", "grafana", SESSION).await);
    let (stolen, key) = world.users.user("mallory", "grafana", SESSION, hour).await;
    let foreign = world.hosts.user("mallory", "grafana", SESSION, hour).await;
    let chain = |(certificate, key)| crypto::tls::CertificateChain::new(&[certificate], &key).unwrap();
    let mut sender = world.http(APP, Some(chain(foreign))).await;
    assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::FOUND);
    assert_eq!(world.proxy.mismatches.waiting(), [], "anybody can make one");
    for _ in 0..2 {
        let mut sender = world.http(APP, Some(chain((stolen.clone(), key.clone())))).await;
        assert_eq!(sender.send_request(get(APP, "/")).await.unwrap().status(), StatusCode::FOUND);
    }
    let told = world.proxy.mismatches.waiting();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].certificate, stolen.der());
    assert!(told[0].client_addr.starts_with("127.0.0.1:"), "{}", told[0].client_addr);
}

#[tokio::test]
async fn a_balancers_word_about_the_client_counts_where_it_is_trusted() {
    for (is_trusted, expect) in [(true, "198.51.100.7"), (false, "127.0.0.1")] {
        let world = world_with(|config| config.trust_x_forwarded_for = is_trusted).await;
        let _agent = world.agent().await;
        let certificate = world.session("alice", "grafana", SESSION).await;
        let mut request = get(APP, "/");
        request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 198.51.100.7".parse().unwrap());
        let response = world.http(APP, Some(certificate)).await.send_request(request).await.unwrap();
        let seen = text(response).await;
        for name in ["x-forwarded-for", "x-real-ip"] {
            assert!(seen.lines().any(|line| line == format!("{name}: {expect}")), "{is_trusted}: {seen}");
        }
    }
}

#[tokio::test]
async fn the_agent_hears_of_each_place_that_a_session_is_used_from() {
    let world = world_with(|config| config.trust_x_forwarded_for = true).await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    for is_http2 in [false, true] {
        for source in ["198.51.100.7", "198.51.100.8", "198.51.100.7"] {
            let protocol = if is_http2 { H2 } else { HTTP_1_1 };
            let stream = TokioIo::new(world.connect(APP, Some(certificate.clone()), &[protocol]).await.unwrap());
            let request = Request::get(if is_http2 { format!("https://{APP}/") } else { "/".to_owned() });
            let request = request.header("x-forwarded-for", source);
            let seen = if is_http2 {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                let request = request.header("te", "trailers").body(Full::<Bytes>::default()).unwrap();
                text(sender.send_request(request).await.unwrap()).await
            } else {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                let request = request.header("host", APP).body(Full::<Bytes>::default()).unwrap();
                text(sender.send_request(request).await.unwrap()).await
            };
            assert!(seen.contains(&format!("opened for: {source}\n")), "HTTP/2 {is_http2}, {source}: {seen}");
        }
    }
}

#[tokio::test]
async fn an_address_that_an_application_has_left_leads_nowhere() {
    let world = world().await;
    let announce = |host: &str, address: &str| {
        let app = App::new(
            "wiki",
            AppSpec { uri: "http://localhost:1".into(), public_addr: address.into(), ..AppSpec::default() },
        );
        let spec = AppServerSpec { host_id: host.into(), app: Some(app), ..AppServerSpec::default() };
        world.proxy.view.put_server(&AppServer::new("wiki", spec));
    };
    let leads = |address: &str| world.proxy.view.app_of(address).is_some();
    announce("a", "old.example");
    announce("b", "old.example");
    announce("a", "new.example");
    assert!(leads("old.example") && leads("new.example"), "the other agent has not said so yet");
    announce("b", "new.example");
    assert!(!leads("old.example") && leads("new.example"));
}

#[tokio::test]
async fn a_request_for_another_host_than_its_connection_is_misdirected() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    for (host, expect) in [
        ("prometheus.proxy.example", "421"),
        (PROXY, "421"),
        ("grafana.proxy.example:3080", "200"),
        ("GRAFANA.proxy.example", "200"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = world.raw(APP, Some(certificate.clone()), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{host}: {answer}");
    }
    for (request, expect) in [
        (
            "GET http://prometheus.proxy.example/ HTTP/1.1\r\nHost: grafana.proxy.example\r\nConnection: close\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: grafana.proxy.example\r\nHost: x\r\nConnection: close\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        (
            "CONNECT grafana.proxy.example:443 HTTP/1.1\r\nHost: grafana.proxy.example\r\nConnection: close\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: grafana.proxy.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        ("POST / HTTP/1.1\r\nHost: grafana.proxy.example\r\nContent-Length: +1\r\n\r\na", "400"),
        ("POST / HTTP/1.1\r\nHost: grafana.proxy.example\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", "400"),
        ("TRACE / HTTP/1.1\r\nHost: grafana.proxy.example\r\nConnection: close\r\n\r\n", "405"),
    ] {
        let answer = world.raw(APP, Some(certificate.clone()), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_application() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let request = "POST /x HTTP/1.1\r\nHost: grafana.proxy.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\
                   Connection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: grafana.proxy.example\r\n\r\n";
    let answer = world.raw(APP, Some(certificate), request.as_bytes()).await;
    assert!(!answer.contains("content-length: 3\n") && !answer.contains("/smuggled"), "{answer}");
}

#[tokio::test]
async fn a_broken_body_is_the_clients_own_fault() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    for body in ["0x5\r\nhello", "5\r\nhelloX", "fffffffffffffffff\r\nhello"] {
        let request = format!("POST /swallow HTTP/1.1\r\nHost: {APP}\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let answer = world.raw(APP, Some(certificate.clone()), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body is malformed"), "{body}: {answer}");
    }
}

#[tokio::test]
async fn bodies_of_any_size_stream_both_ways() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let body = Bytes::from(vec![9; 9_000_000]);
    for protocol in ["http/1.1", "h2"] {
        let request = |path: &str| {
            let uri = if protocol == "h2" { format!("https://{APP}{path}") } else { path.to_owned() };
            let request = Request::post(uri).body(Full::new(body.clone())).unwrap();
            let (mut parts, body) = request.into_parts();
            if protocol != "h2" {
                parts.headers.insert("host", APP.parse().unwrap());
            }
            Request::from_parts(parts, body)
        };
        let stream = world.connect(APP, Some(certificate.clone()), &[protocol.as_bytes()]).await.unwrap();
        let (swallowed, echoed) = if protocol == "h2" {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            (
                sender.send_request(request("/swallow")).await.unwrap(),
                sender.send_request(request("/echo")).await.unwrap(),
            )
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let swallowed = sender.send_request(request("/swallow")).await.unwrap();
            assert_eq!(text(swallowed).await, "9000000");
            sender.ready().await.unwrap();
            let echoed = sender.send_request(request("/echo")).await.unwrap();
            assert_eq!(text(echoed).await.len(), 9_000_000);
            continue;
        };
        assert_eq!(text(swallowed).await, "9000000");
        assert_eq!(text(echoed).await.len(), 9_000_000);
    }
}

#[tokio::test]
async fn grpc_goes_over_http_2_all_the_way() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let stream = world.connect(APP, Some(certificate), &[H2]).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::post(format!("https://{APP}/x.Service/Method")).header("te", "trailers");
        let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let seen = text(response).await;
        assert!(seen.contains("te: trailers") && seen.contains("POST"), "{seen}");
    }
}

#[tokio::test]
async fn a_websocket_lives_until_its_session_ends() {
    let world = world().await;
    let _agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let mut request = get(APP, "/ws");
    request.headers_mut().insert("connection", "Upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "websocket");
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    world.sessions.end(SESSION);
    let ended = tokio::time::timeout(Duration::from_secs(15), stream.read(&mut back)).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "the stream outlived its session: {ended:?}");
}

#[tokio::test]
async fn a_request_that_meets_the_wrong_proxy_is_carried_to_the_right_one() {
    let mut world = world().await;
    let _agent = world.agent().await;
    world.meet_another_proxy().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    for _ in 0..2 {
        let response = sender.send_request(get(APP, "/from/afar")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let seen = text(response).await;
        assert!(seen.contains("user: alice") && seen.contains("GET /from/afar"), "{seen}");
    }
}

#[tokio::test]
async fn bytes_reach_a_tcp_application() {
    let world = world().await;
    let agent = world.agent().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut stream = world.connect(APP, Some(certificate.clone()), &[TCP]).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    // One that is not there yet is waited for.
    agent.cancel();
    until(|| !world.proxy.switchboard.is_connected(AGENT)).await;
    let mut early = world.connect(APP, Some(certificate), &[TCP]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _agent = world.agent().await;
    early.write_all(b"early").await.unwrap();
    early.read_exact(&mut back).await.unwrap();
    let mut stranger = world.connect(APP, None, &[TCP]).await.unwrap();
    let _ = stranger.write_all(b"hello").await;
    assert!(!matches!(stranger.read(&mut back).await, Ok(1..)), "bytes without a certificate");
}

#[tokio::test]
async fn a_failure_says_which_hop_and_a_returning_agent_is_waited_for() {
    let world = world().await;
    let certificate = world.session("alice", "grafana", SESSION).await;
    let mut sender = world.http(APP, Some(certificate)).await;
    let response = sender.send_request(get(APP, "/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let id = response.headers()["x-teleport-request-id"].to_str().unwrap().to_owned();
    let page = text(response).await;
    assert!(page.contains("between the proxy and the agent") && page.contains(&id), "{page}");

    let first = world.agent().await;
    let response = sender.send_request(get(APP, "/gone")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let page = text(response).await;
    assert!(page.contains("between the agent and the application: connection refused"), "{page}");

    for (path, status) in [("/not-for-you", StatusCode::FORBIDDEN), ("/undecided", StatusCode::SERVICE_UNAVAILABLE)] {
        let response = sender.send_request(get(APP, path)).await.unwrap();
        assert_eq!((response.status(), &response.headers()["x-teleport-hop"]), (status, &"agent".parse().unwrap()));
        drop(text(response).await);
    }

    assert_eq!(text(sender.send_request(get(APP, "/big")).await.unwrap()).await.len(), 20_000_000);
    first.cancel();
    let waiting = tokio::spawn(async move { text(sender.send_request(get(APP, "/back")).await.unwrap()).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _second = world.agent().await;
    assert!(waiting.await.unwrap().contains("GET /back"));
}
