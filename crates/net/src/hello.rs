//! A look at the first bytes of a connection, before anybody answers: which protocol, and what a TLS client asks for.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest ClientHello that is read. Those of today, with a post-quantum key share, stay below 2 KiB.
const MAX_HELLO: usize = 16 * 1024;

/// What SSH clients say first (RFC 4253 §4.2).
const SSH: &[u8] = b"SSH-";

/// The type of a TLS record with a handshake in it.
const HANDSHAKE: u8 = 22;

/// What a connection begins with.
pub enum First {
    /// A whole ClientHello.
    Tls(Box<Hello>),
    /// SSH; the bytes that have been read.
    Ssh(Vec<u8>),
    /// Something else; the bytes that have been read.
    Other(Vec<u8>),
}

/// A ClientHello, and the bytes that it was read from: the connection can be carried on unread, or answered.
pub struct Hello {
    /// All that has been read.
    pub bytes: Vec<u8>,
    /// Goes on with the handshake, and needs `bytes` no more.
    pub accepted: Accepted,
}

impl Hello {
    /// The name that the client asks for, lower case.
    pub fn server_name(&self) -> Option<String> {
        self.accepted.client_hello().server_name().map(str::to_ascii_lowercase)
    }

    /// The protocols that the client offers, in its order.
    pub fn protocols(&self) -> Vec<Vec<u8>> {
        self.accepted.client_hello().alpn().into_iter().flatten().map(<[u8]>::to_vec).collect()
    }
}

/// Reads as much of `stream` as it takes to know what it begins with; `bytes` have been read from it already. The caller
/// bounds the time.
///
/// # Errors
/// The stream failed or ended, or what began like TLS is none.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S, mut bytes: Vec<u8>) -> io::Result<First> {
    let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        match bytes.first() {
            None => {}
            Some(&HANDSHAKE) => {
                let mut rest = &bytes[fed..];
                while !rest.is_empty() {
                    acceptor.read_tls(&mut rest)?;
                }
                fed = bytes.len();
                match acceptor.accept() {
                    Ok(Some(accepted)) => return Ok(First::Tls(Box::new(Hello { bytes, accepted }))),
                    Ok(None) if fed > MAX_HELLO => return Err(invalid("the ClientHello is too long".to_owned())),
                    Ok(None) => {}
                    Err((error, _)) => return Err(invalid(error.to_string())),
                }
            }
            Some(_) if bytes.starts_with(SSH) => return Ok(First::Ssh(bytes)),
            Some(_) if SSH.starts_with(&bytes) => {}
            Some(_) => return Ok(First::Other(bytes)),
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clock::Clock;
    use crypto::tls::{ClientOptions, Trust, client_config};
    use rustls::ClientConnection;

    use super::*;

    fn hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let options = ClientOptions {
            trust: Trust::DangerAnyServer,
            certificate: None,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        };
        let config = client_config(options, &Clock::system()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_hello_is_read_however_it_is_cut() {
        let whole = hello("App.example", &[b"teleport-auth@x", b"h2"]);
        for cut in [0, 1, 5, 40, whole.len()] {
            let (already, mut rest) = (whole[..cut].to_vec(), &whole[cut..]);
            let First::Tls(read) = read(&mut rest, already).await.unwrap() else { panic!("no TLS, cut at {cut}") };
            assert_eq!(read.server_name().as_deref(), Some("app.example"));
            assert_eq!(read.protocols(), [b"teleport-auth@x".to_vec(), b"h2".to_vec()]);
            assert_eq!(read.bytes, whole);
        }
    }

    #[tokio::test]
    async fn other_protocols_are_known_by_their_first_bytes() {
        let first = |bytes: &'static [u8]| async move { read(&mut &bytes[..], Vec::new()).await };
        assert!(matches!(first(b"SSH-2.0-Go\r\n").await, Ok(First::Ssh(bytes)) if bytes.starts_with(b"SSH-2.0")));
        assert!(matches!(first(b"GET / HTTP/1.1\r\n").await, Ok(First::Other(_))));
        assert!(matches!(first(b"SSX").await, Ok(First::Other(_))));
        assert!(first(b"SS").await.is_err(), "it ended before anybody could tell");
        assert!(first(b"\x16\x03\x01\x00\x05hello").await.is_err());
        let endless = [b"\x16\x03\x01\x40\x00\x01\x00\xff\xff".to_vec(), vec![0; 70_000]].concat();
        assert!(read(&mut endless.as_slice(), Vec::new()).await.is_err());
    }
}
