//! What a proxy says on the control stream: frames of four length bytes (big-endian) and one JSON message.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message. Sixty-four peers with an id and an address each are below 16 KiB.
pub const MAX_FRAME: u32 = 64 * 1024;

/// Who a proxy is, said first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The host id of the proxy.
    pub proxy: String,
    /// Random for each start of it: tells a second link to the same process from a link to its successor.
    pub incarnation: String,
    /// The proxies of the cluster, as far as this one knows.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// A proxy of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its host id.
    pub id: String,
    /// `host:port` at which agents meet it, perhaps only now and then: a balancer's. Without it, or where it leads nowhere,
    /// they look behind the address they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The first message.
    Hello(Hello),
    /// The proxies of the cluster have changed.
    Peers(Vec<Peer>),
    /// This proxy opens no more streams; look for another one.
    Drain,
}

/// Reads one message; `None` at the end of the stream. A message of a kind that we do not know is skipped: a newer proxy
/// may say more.
///
/// # Errors
/// The stream failed, ended within a message, or carries what is none.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
    loop {
        let mut length = [0; 4];
        if stream.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut length[1..]).await?;
        let length = u32::from_be_bytes(length);
        if length > MAX_FRAME {
            return Err(invalid(format!("a control message of {length} bytes is longer than {MAX_FRAME}")));
        }
        let mut body = Vec::new();
        // Grows with what arrives, not with what is announced.
        let read = stream.take(u64::from(length)).read_to_end(&mut body).await?;
        if read < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(message) = parse(&body)? {
            return Ok(Some(message));
        }
    }
}

/// Reads the text of one message; `None` for a kind that we do not know.
///
/// # Errors
/// It is no JSON, or a known kind with the wrong content.
pub fn parse(body: &[u8]) -> io::Result<Option<Message>> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    let kind = value.as_str().or_else(|| value.as_object().and_then(|object| object.keys().next()).map(String::as_str));
    match kind {
        Some("hello" | "peers" | "drain") => {
            serde_json::from_value(value).map(Some).map_err(|error| invalid(error.to_string()))
        }
        Some(_) => Ok(None),
        None => Err(invalid("a control message without a kind".to_owned())),
    }
}

/// Writes one message.
///
/// # Errors
/// The stream failed, or the message is too long.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(|error| invalid(error.to_string()))?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MAX_FRAME);
    let length = length.ok_or_else(|| invalid("the control message is too long".to_owned()))?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await?;
    stream.flush().await
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let peers = vec![Peer { id: "b".into(), address: Some("b.example:3024".into()) }];
        let messages = [
            Message::Hello(Hello { proxy: "a".into(), incarnation: "1".into(), peers: peers.clone() }),
            Message::Peers(peers),
            Message::Drain,
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            write(&mut bytes, message).await.unwrap();
        }
        let mut reader = bytes.as_slice();
        for message in messages {
            assert_eq!(read(&mut reader).await.unwrap(), Some(message));
        }
        assert_eq!(read(&mut reader).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_a_newer_proxy_says_is_skipped_and_what_is_broken_refused() {
        let bytes = [framed(br#"{"weather":{"rain":true}}"#), framed(br#""drain""#)].concat();
        assert_eq!(read(&mut bytes.as_slice()).await.unwrap(), Some(Message::Drain));
        let too_long = (MAX_FRAME + 1).to_be_bytes();
        for bad in [&too_long[..], &framed(b"[]"), &framed(b"{"), &framed(br#"{"peers":7}"#), &[0, 0, 0, 9, 1], &[0, 0]]
        {
            assert!(read(&mut &bad[..]).await.is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(parse(&bytes));
        }
    }
}
