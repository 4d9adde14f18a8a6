use std::io;

use crypto::tls::{AUTH_SERVER_NAME, CertificateChain, ClientOptions, Trust, auth_alpn, client_config};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use hyper::{client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use net::proxy_protocol::{self, Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message, protocol::Role},
};

use super::world::{APP, CLUSTER, PROXY, SESSION, World, get, text, world, world_with};
use crate::router::{H2, HTTP_1_1, REVERSE_TUNNEL};

impl World {
    /// A connection of the port inside of an upgrade, of a client whom the balancer has seen at the last of these addresses.
    async fn connect_upgraded(
        &self,
        forwarded: &str,
        name: &str,
        certificate: Option<CertificateChain>,
        alpn: &[&[u8]],
    ) -> io::Result<TlsStream<TokioIo<Upgraded>>> {
        let mut request = get(PROXY, "/webapi/connectionupgrade");
        let headers =
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("upgrade", "alpn"), ("x-forwarded-for", forwarded)];
        for (name, value) in headers {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let response = self.http(PROXY, None).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["upgrade"], "alpn");
        let outer = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        let roots = vec![self.hosts.certificate()];
        let trust = Trust::Front { roots, name: "proxy.teleport.cluster.local".into() };
        let alpn = alpn.iter().map(|name| name.to_vec()).collect();
        let config = client_config(ClientOptions { trust, certificate, alpn }, &clock::Clock::system()).unwrap();
        TlsConnector::from(config).connect(name.to_owned().try_into().unwrap(), outer).await
    }
}

#[tokio::test]
async fn a_websocket_carries_the_port_itself() {
    let world = world().await;
    let mut sender = world.http(PROXY, None).await;
    let mut request = get(PROXY, "/webapi/connectionupgrade");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "alpn-ping"),
        ("x-teleport-upgrade", "alpn-ping"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "alpn-ping"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "alpn-ping"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let outer = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (mut send, mut receive) = WebSocketStream::from_raw_socket(outer, Role::Client, None).await.split();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut bytes = vec![0; 4096];
        while let Ok(length @ 1..) = read.read(&mut bytes).await {
            send.send(Message::Binary(Bytes::copy_from_slice(&bytes[..length]))).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = receive.next().await {
            if let Message::Binary(bytes) = message {
                write.write_all(&bytes).await.unwrap();
            }
        }
    });
    let trust = Trust::Roots(vec![world.hosts.certificate()]);
    let options = ClientOptions { trust, certificate: None, alpn: vec![REVERSE_TUNNEL.to_vec()] };
    let config = client_config(options, &clock::Clock::system()).unwrap();
    let name = "proxy.teleport.cluster.local".try_into().unwrap();
    let mut inner = TlsConnector::from(config).connect(name, near).await.unwrap();
    assert_eq!(inner.get_ref().1.alpn_protocol(), Some(REVERSE_TUNNEL));
    inner.write_all(b"SSH-2.0-Go\r\n").await.unwrap();
}

#[tokio::test]
async fn inside_an_upgrade_is_the_port_itself_with_the_host_certificate() {
    let world = world().await;
    let name = "proxy.teleport.cluster.local";
    let inner = world.connect_upgraded("192.0.2.1", name, None, &[REVERSE_TUNNEL]).await.unwrap();
    assert_eq!(inner.get_ref().1.alpn_protocol(), Some(REVERSE_TUNNEL));

    let mut sender = world.http(PROXY, None).await;
    let response = sender.send_request(get(PROXY, "/webapi/connectionupgrade")).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn inside_an_upgrade_a_client_is_where_the_balancer_has_seen_it_and_not_where_it_says() {
    for (is_trusted, expect) in [(true, "198.51.100.7"), (false, "127.0.0.1")] {
        let world = world_with(|config| config.trust_x_forwarded_for = is_trusted).await;
        let _agent = world.agent().await;
        let certificate = world.session("alice", "grafana", SESSION).await;
        let seen_at = "6.6.6.6, 198.51.100.7";
        let ask = async |name, certificate, path, method| {
            let inner = world.connect_upgraded(seen_at, name, certificate, &[HTTP_1_1]).await.unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(inner)).await.unwrap();
            tokio::spawn(connection);
            let mut request = get(name, path);
            *request.method_mut() = method;
            *request.body_mut() = Bytes::from_static(b"{}").into();
            request.headers_mut().insert("x-forwarded-for", "192.0.2.9".parse().unwrap());
            sender.send_request(request).await.unwrap()
        };
        let told = text(ask(APP, Some(certificate), "/", Method::GET).await).await;
        for line in [format!("opened for: {expect}"), format!("x-real-ip: {expect}")] {
            assert!(told.lines().any(|told| told == line), "{is_trusted}: {told}");
        }
        let heard = async || {
            let (stream, _) = world.auth.accept().await.unwrap();
            let header = proxy_protocol::read(stream, Mode::On).await.unwrap().0.unwrap();
            let (said, _) = world.said(&header);
            assert_eq!(said.source.ip().to_string(), expect, "{is_trusted}");
            assert_ne!(said.source.port(), 0, "{is_trusted}: it is certain");
            assert_eq!(
                said.counted.to_string(),
                expect,
                "{is_trusted}: limits would count all behind the balancer as one"
            );
        };
        tokio::select! {
            () = heard() => {}
            answer = ask(PROXY, None, "/webapi/host/credentials", Method::POST) => panic!("{is_trusted}: {answer:?}"),
        }
        let (alpn, name) = (auth_alpn(CLUSTER), AUTH_SERVER_NAME);
        tokio::join!(heard(), async { drop(world.connect_upgraded(seen_at, name, None, &[&alpn, H2]).await) });
    }
}
