use crypto::tls::{ClientOptions, Trust, client_config};
use http::StatusCode;
use net::proxy_protocol::{self, Mode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::world::{CLUSTER, PROXY, get, text, world, world_with};
use crate::router::{H2, PEER, REVERSE_TUNNEL, TUNNEL};

#[tokio::test]
async fn a_connection_for_auth_is_carried_unread_with_our_word_about_its_source() {
    let world = world().await;
    let alpn = crypto::tls::auth_alpn(CLUSTER);
    let offered: [&[u8]; 2] = [&alpn, H2];
    let connect = world.connect("teleport.cluster.local", None, &offered);
    let accept = async {
        let (stream, _) = world.auth.accept().await.unwrap();
        let (header, mut rest) = proxy_protocol::read(stream, Mode::On).await.unwrap();
        let header = header.unwrap();
        let (said, signer) = world.said(&header);
        assert!(header.destination == world.address && said.counted == header.source.ip());
        let mut first = [0; 3];
        rest.read_exact(&mut first).await.unwrap();
        (first, signer.common_name().unwrap().to_owned())
    };
    let (refused, (first, signer)) = tokio::join!(connect, accept);
    assert_eq!(first, *b"\x16\x03\x01", "the ClientHello itself");
    assert_eq!(signer, "f00d.c.example");
    assert!(refused.is_err(), "the other end was closed by the test");
}

#[tokio::test]
async fn whoever_claims_an_address_is_counted_by_his_own() {
    for (mode, source, counted) in
        [(Mode::Unspecified, "192.0.2.7:0", "127.0.0.1"), (Mode::On, "192.0.2.7:1000", "192.0.2.7")]
    {
        let world = world_with(|config| config.proxy_protocol = mode).await;
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n").await.unwrap();
        let options = ClientOptions { trust: Trust::DangerAnyServer, certificate: None, alpn: vec![H2.to_vec()] };
        let connector = TlsConnector::from(client_config(options, &clock::Clock::system()).unwrap());
        let name = crypto::tls::AUTH_SERVER_NAME.try_into().unwrap();
        let accept = async {
            let (stream, _) = world.auth.accept().await.unwrap();
            proxy_protocol::read(stream, Mode::On).await.unwrap().0.unwrap()
        };
        let (_, header) = tokio::join!(connector.connect(name, stream), accept);
        let (said, _) = world.said(&header);
        assert_eq!((said.source.to_string().as_str(), said.counted.to_string().as_str()), (source, counted));
    }
}

#[tokio::test]
async fn a_balancers_word_is_taken_as_the_mode_says() {
    let line = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n";
    for (mode, begins_with_line, is_served) in [
        (Mode::On, true, true),
        (Mode::On, false, false),
        (Mode::Off, true, false),
        (Mode::Off, false, true),
        (Mode::Unspecified, true, true),
    ] {
        let world = world_with(|config| config.proxy_protocol = mode).await;
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        if begins_with_line {
            stream.write_all(line).await.unwrap();
        }
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer.starts_with(b"HTTP/1.1 400"), is_served, "{mode:?} {begins_with_line}");
    }
}

#[tokio::test]
async fn the_web_surface_tells_clients_what_they_need() {
    let world = world().await;
    let mut sender = world.http(PROXY, None).await;
    for path in ["/webapi/ping", "/webapi/find", "/webapi/ping/local", "/v1/webapi/find"] {
        let response = sender.send_request(get(PROXY, path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(response.headers().contains_key("strict-transport-security"));
        let found: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(found["cluster_name"], CLUSTER);
        assert_eq!(found["proxy"]["tls_routing_enabled"], true);
        assert_eq!(found["proxy"]["ssh"]["public_addr"], "proxy.example:3080");
        assert_eq!(found["proxy"]["ssh"]["web_listen_addr"], "0.0.0.0:3080");
        assert_eq!(found["auth"]["private_key_policy"], "none");
    }
    let pem = text(sender.send_request(get(PROXY, "/webapi/auth/export?type=tls-host")).await.unwrap()).await;
    assert_eq!(crypto::x509::Certificate::from_pem(&pem).unwrap().der(), world.hosts.certificate().der());
    for (path, status) in [
        ("/readyz", StatusCode::OK),
        ("/webapi/motd", StatusCode::OK),
        ("/.well-known/jwks.json", StatusCode::OK),
        ("/nonsense", StatusCode::NOT_FOUND),
        ("/web/invite/x", StatusCode::NOT_IMPLEMENTED),
        ("/web/reset/x", StatusCode::NOT_IMPLEMENTED),
    ] {
        assert_eq!(sender.send_request(get(PROXY, path)).await.unwrap().status(), status, "{path}");
    }
    for (method, path, status, words) in [
        ("GET", "/webapi/auth/export?type=nonsense", StatusCode::BAD_REQUEST, "tls-spiffe"),
        ("GET", "/webapi/nonsense", StatusCode::NOT_FOUND, "there is no /webapi/nonsense"),
        ("GET", "/v1/webapi/nonsense", StatusCode::NOT_FOUND, "there is no /webapi/nonsense"),
        ("GET", "/webapi/connectionupgrade", StatusCode::BAD_REQUEST, "alpn-ping"),
        ("POST", "/webapi/find", StatusCode::METHOD_NOT_ALLOWED, "only GET"),
    ] {
        let mut request = get(PROXY, path);
        *request.method_mut() = method.parse().unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let answer: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        let said = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(said.contains(words) && answer["message"] == said, "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_login_page_says_where_somebody_was_going_and_runs_nothing() {
    let world = world().await;
    let mut sender = world.http(PROXY, None).await;
    let response = sender.send_request(get(PROXY, "/web/login?application=grafana.proxy.example")).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = text(response).await;
    assert!(page.contains("<span>login</span> <span>grafana</span>"), "{page}");
    assert!(page.contains("https://grafana.proxy.example") && !page.contains("<script"), "{page}");
    assert!(page.contains("<span>users</span> <span>add</span>"), "nothing is signed for whom there is not: {page}");
    let request = get(PROXY, "/web/login?application=evil.example");
    let page = text(sender.send_request(request).await.unwrap()).await;
    assert!(page.contains("evil.example") && !page.contains("https://evil"), "{page}");
    let request = get(PROXY, "/web/login?application=%3Cscript%3E");
    assert!(!text(sender.send_request(request).await.unwrap()).await.contains("script>"));
}

#[tokio::test]
async fn only_agents_of_the_cluster_attach_and_only_proxies_are_peers() {
    let world = world().await;
    let chain = |(certificate, key)| crypto::tls::CertificateChain::new(&[certificate], &key).unwrap();
    let agent = chain(world.hosts.host("a1", "App", &[]).await);
    let node = chain(world.hosts.host("a1", "Node", &["app.teleport.cluster.local"]).await);
    let proxy = chain(world.hosts.host("p1", "Proxy", &[]).await);
    let user = world.session("alice", "grafana", "s").await;
    let name = "proxy.teleport.cluster.local";
    for (certificate, alpn, is_served) in [
        (None, TUNNEL, false),
        (Some(user.clone()), TUNNEL, false),
        (Some(proxy.clone()), TUNNEL, false),
        (Some(node.clone()), TUNNEL, false),
        (Some(agent.clone()), TUNNEL, true),
        (Some(agent), PEER, false),
        (Some(node), PEER, false),
        (Some(user), PEER, false),
        (Some(proxy), PEER, true),
    ] {
        let what = format!("{} {alpn:?}", certificate.is_some());
        let mut first = [0; 3];
        let mut served = false;
        if let Ok(mut stream) = world.connect(name, certificate, &[alpn]).await {
            // Between proxies it is the one that dials who opens, and so speaks first.
            if alpn == PEER {
                let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
            }
            served = stream.read_exact(&mut first).await.is_ok();
        }
        assert_eq!(served, is_served, "{what}");
    }
}

#[tokio::test]
async fn the_test_for_a_connection_upgrade_finds_that_none_is_needed() {
    let world = world().await;
    let stream = world.connect(PROXY, None, &[REVERSE_TUNNEL]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(REVERSE_TUNNEL));
}

#[tokio::test]
async fn a_stop_closes_the_port_and_ends_idle_connections() {
    let world = world().await;
    let mut sender = world.http(PROXY, None).await;
    assert_eq!(sender.send_request(get(PROXY, "/readyz")).await.unwrap().status(), StatusCode::OK);
    world.stop.soft();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    while !sender.is_closed() {
        tokio::task::yield_now().await;
    }
}
