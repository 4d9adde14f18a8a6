//! Asks a running server on this host through its debug socket.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use domain::Error;

use crate::local_socket::{self, DEBUG};

/// How long a running server may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub body: String,
}

/// Asks the server of a data directory, with a method and a path of its diagnostics endpoint.
///
/// # Errors
/// When no server can be reached there, or it is another user's.
pub fn ask(data_dir: &Path, method: &str, path: &str, body: &str) -> Result<Answer, Error> {
    let socket = local_socket::path(data_dir, DEBUG);
    let refused = |error: io::Error| {
        let place = socket.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Error::denied(format!(
                "{place} belongs to another user; run this as root or as the user that the server runs as"
            )),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::unavailable(format!(
                "no server can be asked at {place}: it does not run, keeps its data_dir elsewhere (-c FILE), or has \
                 \"debug_service: {{enabled: no}}\""
            )),
            _ => Error::unavailable(format!("the server at {place} does not answer: {error}")),
        }
    };
    let text = exchange(&socket, method, path, body).map_err(refused)?;
    parse(&text).ok_or_else(|| Error::unavailable(format!("what answers at {} is no server", socket.display())))
}

fn exchange(socket: &Path, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The server closes the connection after an answer whose length it knows, so that no chunks need be understood.
fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use domain::error::Kind;

    use super::*;

    #[test]
    fn an_answer_is_read_and_an_absent_server_is_named() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n").unwrap();
        assert_eq!(answer, Answer { status: 503, body: "no\n".into() });
        assert_eq!(parse("SSH-2.0-x\r\n"), None);
        let directory = tempfile::tempdir().unwrap();
        let error = ask(directory.path(), "GET", "/readyz", "").unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.to_string().contains("debug.sock"), "{error}");
    }
}
