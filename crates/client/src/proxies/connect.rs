//! The conversation with an HTTP proxy: `CONNECT`, then bytes both ways (RFC 9110 §9.3.6).

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Proxy;

/// More than any proxy's answer has before the tunnel begins.
const MAX_ANSWER: usize = 16 * 1024;

/// A TCP connection to `address` (`host:port`) through the proxy.
pub(crate) async fn tunnel(proxy: &Proxy, address: &str) -> io::Result<TcpStream> {
    let through = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", proxy.describe()));
    let mut stream = TcpStream::connect(&proxy.address).await.map_err(through)?;
    let credentials = proxy.credentials.as_ref().map(|credentials| STANDARD.encode(credentials.0.expose()));
    let credentials = credentials.map(|text| format!("Proxy-Authorization: Basic {text}\r\n")).unwrap_or_default();
    let agent = concat!("tessera/", env!("CARGO_PKG_VERSION"));
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {agent}\r\n{credentials}\r\n");
    stream.write_all(request.as_bytes()).await.map_err(through)?;
    let answer = answer(&mut stream).await.map_err(through)?;
    judge(&answer, address).map_err(|reason| through(io::Error::other(reason)))?;
    Ok(stream)
}

/// The answer's head, byte by byte: what follows it belongs to the tunnel.
async fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_ANSWER {
            return Err(io::Error::other("its answer has no end"));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::new(error.kind(), "it hung up without an answer"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

pub(super) fn judge(head: &[u8], address: &str) -> Result<(), String> {
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status.and_then(|status| status.parse::<u16>().ok()) {
        Some(200..300) => Ok(()),
        Some(407) => {
            Err("it asks for a name and a password; put them before the host: http://user:password@host:port".into())
        }
        Some(status) => Err(format!("it does not connect to {address}: status {status}")),
        None => Err("it does not speak HTTP".into()),
    }
}
