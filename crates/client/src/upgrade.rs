//! Past a balancer that ends TLS and knows nothing of our protocols: connections inside a WebSocket (or packets) to the
//! proxy's `/webapi/connectionupgrade`, with TLS of their own.

use std::{io, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clock::Clock;
use crypto::{
    hash,
    tls::{self, ClientOptions},
    x509::Certificate,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::rt::Executor as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::{BoxIo, packets};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, protocol::Role},
};

use crate::{Proxies, dial, proxies::Wrapping};

/// What a proxy that ends TLS itself takes, and balancers have never heard of.
const KNOWN_TO_PROXIES: &[u8] = b"teleport-reversetunnel";

/// With pings between the bytes: balancers cut connections that are silent for a minute.
const PROTOCOL: &str = "alpn-ping";

/// How long the question whether there is a balancer may take.
const TEST_WITHIN: Duration = Duration::from_secs(5);

/// How long it may take until the WebSocket is open, past a balancer that was found.
const OPEN_WITHIN: Duration = Duration::from_secs(15);

/// Silence after which we send a ping.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Bytes under way between the outer and the inner connection.
const BUFFER: usize = 64 * 1024;

/// The longest message that we send.
const PACKET: usize = 16 * 1024;

/// Between two probes on a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection past the balancer at `address`, whose certificate is from an authority of this system or one of the
/// cluster's; nothing when what answers there is the proxy itself, or nobody.
///
/// # Errors
/// There is a balancer, and no way past it.
pub async fn past_balancer(
    address: &str,
    authorities: &[Certificate],
    proxies: &Proxies,
    clock: &Clock,
) -> io::Result<Option<BoxIo>> {
    let trust = trust(authorities);
    let is_needed = match proxies.upgrades(address) {
        Some(is_needed) => is_needed,
        None => is_balancer(address, &trust, proxies, clock).await.unwrap_or(false),
    };
    if is_needed { open(address, &trust, proxies, clock, OPEN_WITHIN).await.map(Some) } else { Ok(None) }
}

/// Whom we believe that TLS may end there: the cluster's own are among them, since a proxy without a certificate from
/// elsewhere shows one of theirs, and so may a balancer. What is inside proves itself.
pub(crate) fn trust(authorities: &[Certificate]) -> tls::Trust {
    tls::Trust::Roots([crate::system_authorities().as_slice(), authorities].concat())
}

/// Whether somebody else than a proxy ends TLS at `address`; nothing when nobody does. A proxy whose certificate is not
/// trusted has no such balancer before it.
pub(crate) async fn is_balancer(address: &str, trust: &tls::Trust, proxies: &Proxies, clock: &Clock) -> Option<bool> {
    let outcome = clock.timeout(TEST_WITHIN, outer(address, KNOWN_TO_PROXIES, trust, proxies, clock)).await.ok()?;
    match outcome {
        Ok(stream) => Some(stream.get_ref().1.alpn_protocol() != Some(KNOWN_TO_PROXIES)),
        Err(error) => {
            let refusal = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            tls.map(|error| *error == refusal)
        }
    }
}

/// A WebSocket to the proxy behind a balancer.
pub(crate) async fn open(
    address: &str,
    trust: &tls::Trust,
    proxies: &Proxies,
    clock: &Clock,
    within: Duration,
) -> io::Result<BoxIo> {
    match clock.timeout(within, upgrade(address, trust, proxies, clock)).await {
        Ok(wire) => wire,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the balancer before the proxy does not answer")),
    }
}

async fn upgrade(address: &str, trust: &tls::Trust, proxies: &Proxies, clock: &Clock) -> io::Result<BoxIo> {
    let outer = outer(address, b"http/1.1", trust, proxies, clock).await?;
    wrapped(Box::new(outer), address, proxies.wrapping(), clock).await
}

/// The upgrade itself, over a connection with whoever ends TLS.
async fn wrapped(outer: BoxIo, address: &str, wrapping: Wrapping, clock: &Clock) -> io::Result<BoxIo> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(outer)).await.map_err(io::Error::other)?;
    TokioExecutor::new().execute(async move {
        // Its error reaches the request.
        let _ = connection.with_upgrades().await;
    });
    // It tells caches apart, nothing else; the connection inside has keys of its own.
    let nonce = hash::sha256(format!("{address} {:?}", clock.now()).as_bytes());
    let key = STANDARD.encode(&nonce[..16]);
    let request = Request::get("/webapi/connectionupgrade")
        .header(header::HOST, address)
        .header(header::USER_AGENT, concat!("tessera/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "Upgrade")
        .header("X-Teleport-Upgrade", PROTOCOL);
    let request = match wrapping {
        Wrapping::WebSocket => request
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL),
        Wrapping::Packets => request.header(header::UPGRADE, PROTOCOL),
    };
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let mut answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        return Err(io::Error::other(format!(
            "what is behind the balancer answers a connection upgrade with {status}"
        )));
    }
    let accept = STANDARD.encode(hash::websocket_accept(&key));
    let says = |name, value: &str| answer.headers().get(name).is_some_and(|said| said.as_bytes() == value.as_bytes());
    let is_proxy = match wrapping {
        Wrapping::WebSocket => {
            says(header::SEC_WEBSOCKET_ACCEPT, &accept) && says(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        }
        Wrapping::Packets => says(header::UPGRADE, PROTOCOL),
    };
    if !is_proxy {
        return Err(io::Error::other("what is behind the balancer is no proxy"));
    }
    let upgraded = hyper::upgrade::on(&mut answer).await.map_err(io::Error::other)?;
    let (near, far) = tokio::io::duplex(BUFFER);
    let clock = clock.clone();
    TokioExecutor::new().execute(async move {
        let carried = match wrapping {
            Wrapping::WebSocket => carry(TokioIo::new(upgraded), far, &clock).await,
            Wrapping::Packets => carry_packets(TokioIo::new(upgraded), far, &clock).await,
        };
        if let Err(error) = carried {
            tracing::debug!(%error, "a connection past a balancer broke");
        }
    });
    Ok(Box::new(near))
}

/// TLS with whoever ends it at `address`.
async fn outer(
    address: &str,
    alpn: &[u8],
    trust: &tls::Trust,
    proxies: &Proxies,
    clock: &Clock,
) -> io::Result<TlsStream<TcpStream>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let options = ClientOptions { trust: trust.clone(), certificate: None, alpn: vec![alpn.to_vec()] };
    let config = tls::client_config(options, clock).map_err(io::Error::other)?;
    let tcp = dial::patient_tcp(address, proxies, KEEP_ALIVE).await?;
    TlsConnector::from(config).connect(name, tcp).await
}

/// Carries bytes between packets and what is inside, until one side has ended.
async fn carry_packets(
    outer: impl AsyncRead + AsyncWrite + Unpin,
    inner: DuplexStream,
    clock: &Clock,
) -> io::Result<()> {
    let (mut receive, mut send) = tokio::io::split(outer);
    let (mut read, mut write) = tokio::io::split(inner);
    let ended = tokio::select! {
        ended = packets::unpack(&mut receive, &mut write) => ended,
        ended = packets::pack(&mut read, &mut send, PING_EVERY, clock) => ended,
    };
    let _ = write.shutdown().await;
    let _ = send.shutdown().await;
    ended
}

/// Carries bytes between a WebSocket and what is inside, until one side has ended.
async fn carry(outer: impl AsyncRead + AsyncWrite + Unpin, inner: DuplexStream, clock: &Clock) -> io::Result<()> {
    let (mut send, mut receive) = WebSocketStream::from_raw_socket(outer, Role::Client, None).await.split();
    let (mut read, mut write) = tokio::io::split(inner);
    let inwards = async {
        while let Some(message) = receive.next().await {
            match message {
                Ok(Message::Binary(bytes)) => write.write_all(&bytes).await?,
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => break,
                // The library answers pings; text is nobody's.
                Ok(_) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    };
    let outwards = async {
        let mut bytes = vec![0; PACKET];
        loop {
            let message = match clock.timeout(PING_EVERY, read.read(&mut bytes)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(length) => Message::Binary(Bytes::copy_from_slice(&bytes[..length?])),
                Err(_) => Message::Ping(Bytes::new()),
            };
            send.send(message).await.map_err(io::Error::other)?;
        }
    };
    // Either end takes the other one along: a close says "no more" of both directions.
    let ended = tokio::select! {
        ended = inwards => ended,
        ended = outwards => ended,
    };
    // Whoever has gone needs no farewell.
    let _ = write.shutdown().await;
    let _ = send.close().await;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_websockets_bytes_go_in_packets() {
        let (near, mut far) = tokio::io::duplex(BUFFER);
        let proxy = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(far.read_u8().await.expect("a request"));
            }
            let head = String::from_utf8(head).expect("text").to_lowercase();
            assert!(head.contains("\r\nupgrade: alpn-ping\r\n") && !head.contains("websocket"), "{head}");
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: alpn-ping\r\n\r\n";
            far.write_all(answer.as_bytes()).await.expect("open");
            // A ping, and three bytes.
            far.write_all(b"\0\0\0\0\0\0\0\x03abc").await.expect("open");
            let mut packet = [0; 7];
            far.read_exact(&mut packet).await.expect("a packet");
            assert_eq!(&packet, b"\0\0\0\x03xyz");
        };
        let client = async {
            let clock = Clock::system();
            let opened = wrapped(Box::new(near), "proxy:443", Wrapping::Packets, &clock).await;
            let mut inside = opened.expect("a connection");
            let mut bytes = [0; 3];
            inside.read_exact(&mut bytes).await.expect("bytes");
            assert_eq!(&bytes, b"abc");
            inside.write_all(b"xyz").await.expect("open");
            // Kept until the other side has read it.
            inside
        };
        tokio::join!(proxy, client);
    }
}
