use crypto::tls::{ClientOptions, Trust, client_config};
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message, protocol::Role},
};

use super::world::{PROXY, get, world};
use crate::router::REVERSE_TUNNEL;

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
    let mut inner = tokio_rustls::TlsConnector::from(config).connect(name, near).await.unwrap();
    assert_eq!(inner.get_ref().1.alpn_protocol(), Some(REVERSE_TUNNEL));
    inner.write_all(b"SSH-2.0-Go\r\n").await.unwrap();
}
