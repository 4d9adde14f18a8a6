//! The WebSocket form of a connection upgrade (RFC 6455): binary messages carry the bytes, pings keep balancers awake.

use std::{io, pin::pin, time::Duration};

use base64::Engine as _;
use clock::Clock;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::{Role, WebSocketConfig},
    },
};

/// The longest message that is taken; what is inside is TLS, whose records are 16 KiB.
const LONGEST: usize = 4 * 1024 * 1024;

/// The longest message that we send. Clients drop continuation frames, so a message is one frame.
const PACKET: usize = 16 * 1024;

/// Silence of the other side after which it counts as gone: three pings without an answer.
const SILENCE: Duration = Duration::from_secs(100);

/// What a client asks for, once it is known to be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    accept: HeaderValue,
    protocol: &'static str,
}

impl Offer {
    /// The WebSocket that a client asks for; none where its request is no such one. `words` are what it can upgrade to.
    pub(super) fn of(headers: &HeaderMap, words: &[&str]) -> Option<Self> {
        let one = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let is_one = words.iter().any(|word| word.eq_ignore_ascii_case("websocket"));
        if !is_one || one(&SEC_WEBSOCKET_VERSION) != Some("13") {
            return None;
        }
        let key = one(&SEC_WEBSOCKET_KEY)?;
        let encoding = base64::engine::general_purpose::STANDARD;
        encoding.decode(key).ok().filter(|nonce| nonce.len() == 16)?;
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
        let protocol = ["alpn-ping", "alpn"].into_iter().find(|known| offered.contains(known))?;
        let accept = encoding.encode(crypto::hash::websocket_accept(key));
        Some(Self { accept: HeaderValue::from_str(&accept).ok()?, protocol })
    }

    /// What the answer says.
    pub(super) fn accept(&self, headers: &mut HeaderMap) {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
    }
}

/// Carries bytes between a WebSocket and what is inside, until one side has ended.
pub(super) async fn carry(
    outer: impl AsyncRead + AsyncWrite + Unpin,
    inner: impl AsyncRead + AsyncWrite + Unpin,
    ping_every: Duration,
    clock: &Clock,
) -> io::Result<()> {
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let (mut send, mut receive) = WebSocketStream::from_raw_socket(outer, Role::Server, Some(config)).await.split();
    let (mut read, mut write) = tokio::io::split(inner);
    let inwards = async {
        loop {
            let message = clock.timeout(SILENCE, receive.next()).await.map_err(|_| io::ErrorKind::TimedOut)?;
            match message {
                Some(Ok(Message::Binary(bytes))) => write.write_all(&bytes).await?,
                // The library answers pings; text is nobody's.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_))) => {}
                None | Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => return Ok(()),
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    };
    let outwards = async {
        let (mut bytes, mut ping) = (vec![0; PACKET], pin!(clock.sleep(ping_every)));
        loop {
            let message = tokio::select! {
                biased;
                // Whatever flows to the client: it may have nothing else to answer.
                () = ping.as_mut() => {
                    ping.set(clock.sleep(ping_every));
                    Message::Ping(Bytes::new())
                }
                length = read.read(&mut bytes) => match length? {
                    0 => Message::Close(None),
                    length => Message::Binary(Bytes::copy_from_slice(&bytes[..length])),
                },
            };
            let is_over = matches!(message, Message::Close(_));
            match send.send(message).await {
                Ok(()) if !is_over => {}
                Ok(()) | Err(Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    };
    // Either end takes the other one along: a close says "no more" of both directions.
    let ended = tokio::select! {
        ended = inwards => ended,
        ended = outwards => ended,
    };
    let _ = write.shutdown().await;
    let _ = send.close().await;
    ended
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
mod tests {
    use super::*;

    fn asked(changes: &[(HeaderName, &'static str)]) -> Option<Offer> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (SEC_WEBSOCKET_PROTOCOL, "alpn-ping"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Offer::of(&headers, &["websocket", "alpn-ping"])
    }

    #[test]
    fn a_whole_offer_is_taken_and_a_broken_one_is_none() {
        let offer = asked(&[]).unwrap();
        // RFC 6455 §1.3.
        assert_eq!(offer.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(offer.protocol, "alpn-ping");
        assert_eq!(asked(&[(SEC_WEBSOCKET_PROTOCOL, "chat, alpn")]).unwrap().protocol, "alpn");
        for broken in [
            (SEC_WEBSOCKET_VERSION, "8"),
            (SEC_WEBSOCKET_KEY, "short"),
            (SEC_WEBSOCKET_KEY, "bm90IHNpeHRlZW4="),
            (SEC_WEBSOCKET_PROTOCOL, "chat"),
        ] {
            assert_eq!(asked(std::slice::from_ref(&broken)), None, "{broken:?}");
        }
        assert_eq!(Offer::of(&HeaderMap::new(), &["websocket"]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_through_both_ways_pings_are_answered_and_sent_and_a_close_is_an_end() {
        let (far, near) = tokio::io::duplex(1024);
        let (inner, mut service) = tokio::io::duplex(1024);
        let clock = Clock::system();
        let carried = tokio::spawn(async move { carry(near, inner, Duration::from_secs(30), &clock).await });
        let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        client.send(Message::Binary(Bytes::from_static(b"hello"))).await.unwrap();
        let mut read = [0; 5];
        service.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        client.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
        let big = vec![7; 100_000];
        let (sent, mut back) = (big.clone(), Vec::new());
        let writing = tokio::spawn(async move {
            service.write_all(&sent).await.unwrap();
            service
        });
        while back.len() < big.len() {
            match client.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => back.extend_from_slice(&bytes),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(back, big);
        let mut service = writing.await.unwrap();
        client.close(None).await.unwrap();
        assert_eq!(service.read(&mut read).await.unwrap(), 0);
        carried.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_reads_and_answers_pings_is_not_cut_off() {
        let (far, near) = tokio::io::duplex(1024);
        let (inner, mut service) = tokio::io::duplex(1024);
        let clock = Clock::system();
        tokio::spawn(async move { carry(near, inner, Duration::from_secs(30), &clock).await });
        let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        let pieces = 2 * SILENCE.as_secs();
        tokio::spawn(async move {
            for _ in 0..pieces {
                tokio::time::sleep(Duration::from_secs(1)).await;
                service.write_all(b"x").await.unwrap();
            }
        });
        let mut read = 0;
        while read < pieces {
            match client.next().await {
                Some(Ok(Message::Binary(bytes))) => read += bytes.len() as u64,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("{other:?} after {read} of {pieces} bytes"),
            }
        }
    }
}
