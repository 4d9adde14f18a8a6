//! Who comes to a local listener of an application that speaks no HTTP: a page that a browser shows can send there, too, and
//! a line protocol passes over the lines that it does not know, up to those that the page wrote.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use domain::Error;
use http::Request;
use net::BoxIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::browser;

/// How requests of pages begin. Other methods a browser announces by the last one.
const METHODS: [&[u8]; 4] = [b"GET ", b"HEAD ", b"POST ", b"OPTIONS "];

/// The longest head of a request. Nothing of one that is longer is passed on.
const MOST_HEAD: usize = 64 * 1024;

/// Header fields of a request.
const MOST_FIELDS: usize = 128;

/// The program, or the browser. What it says first waits until it is clear that no page of another site says it.
pub(crate) struct Visitor<'a> {
    stream: &'a mut BoxIo,
    is_loopback: bool,
    public_name: &'a str,
    /// What it said first, and how much of that was passed on.
    begun: Vec<u8>,
    passed: usize,
    is_judged: bool,
    /// Why nothing is passed on.
    pub(crate) denied: Option<Error>,
}

/// What the first bytes are.
enum Beginning {
    /// It may still become a request.
    Unclear,
    /// No request.
    Other,
    /// The head of a request.
    Head(Box<Request<()>>),
    /// A request that nobody can read.
    Broken,
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(stream: &'a mut BoxIo, is_loopback: bool, public_name: &'a str) -> Self {
        Self { stream, is_loopback, public_name, begun: Vec::new(), passed: 0, is_judged: false, denied: None }
    }

    fn judge(&mut self) -> io::Result<()> {
        let judged = match beginning(&self.begun) {
            Beginning::Unclear if self.begun.len() < MOST_HEAD => return Ok(()),
            Beginning::Other => Ok(()),
            Beginning::Head(request) => browser::to_tunnel(&request, self.is_loopback, Some(self.public_name)),
            Beginning::Unclear | Beginning::Broken => {
                Err(Error::denied("this looks like the request of a browser, and who asks cannot be read"))
            }
        };
        self.is_judged = true;
        judged.map_err(|error| {
            self.denied = Some(error);
            io::ErrorKind::PermissionDenied.into()
        })
    }
}

fn beginning(begun: &[u8]) -> Beginning {
    if !METHODS.iter().any(|method| begun.starts_with(method)) {
        let may_become = METHODS.iter().any(|method| method.starts_with(begun));
        return if may_become { Beginning::Unclear } else { Beginning::Other };
    }
    let Some(end) = begun.iter().position(|byte| *byte == b'\n') else { return Beginning::Unclear };
    let line = begun[..end].trim_ascii_end();
    if !line.ends_with(b" HTTP/1.1") && !line.ends_with(b" HTTP/1.0") {
        return Beginning::Other;
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(begun) {
        Ok(httparse::Status::Partial) => Beginning::Unclear,
        Ok(httparse::Status::Complete(_)) => {
            let request = Request::builder().method(head.method.unwrap_or_default()).uri(head.path.unwrap_or_default());
            let request = head.headers.iter().fold(request, |request, field| request.header(field.name, field.value));
            request.body(()).map_or(Beginning::Broken, |request| Beginning::Head(Box::new(request)))
        }
        Err(_) => Beginning::Broken,
    }
}

/// What passes of words that come all at once.
#[cfg(feature = "fuzzing")]
pub(crate) fn passes(said: &[u8]) -> Option<Vec<u8>> {
    let mut stream: BoxIo = Box::new(tokio::io::empty());
    let mut visitor = Visitor::new(&mut stream, true, "db.proxy.example");
    visitor.begun = said.to_vec();
    visitor.judge().is_ok().then_some(visitor.begun)
}

impl AsyncRead for Visitor<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.is_judged {
            let mut room = [0; 4096];
            let mut read = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut *this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                this.is_judged = true;
            } else {
                this.begun.extend_from_slice(read.filled());
                this.judge()?;
            }
        }
        if this.denied.is_some() {
            return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
        }
        if this.passed < this.begun.len() {
            let rest = &this.begun[this.passed..];
            let length = rest.len().min(into.remaining());
            into.put_slice(&rest[..length]);
            this.passed += length;
            if this.passed == this.begun.len() {
                (this.begun, this.passed) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *this.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Visitor<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What passes of what is said, in so large pieces; nothing when it is denied.
    async fn passes(said: &str, piece: usize) -> Option<String> {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let mut theirs: BoxIo = Box::new(theirs);
        for piece in said.as_bytes().chunks(piece) {
            ours.write_all(piece).await.unwrap();
        }
        drop(ours);
        let mut visitor = Visitor::new(&mut theirs, true, "db.proxy.example");
        let mut passed = String::new();
        let read = visitor.read_to_string(&mut passed).await;
        assert_eq!(read.is_ok(), visitor.denied.is_none());
        assert!(read.is_ok() || passed.is_empty(), "{passed}");
        read.is_ok().then_some(passed)
    }

    #[tokio::test]
    async fn pages_of_other_sites_are_told_from_whatever_programs_say() {
        let page = "Host: 127.0.0.1:5432\r\nOrigin: https://evil.example\r\nContent-Length: 11\r\n\r\nflush_all\r\n";
        let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(MOST_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1));
        for (said, is_passed) in [
            (format!("POST / HTTP/1.1\r\n{page}"), false),
            (format!("POST / HTTP/1.1\n{}", page.replace("\r\n", "\n")), false),
            (format!("OPTIONS / HTTP/1.1\r\n{page}"), false),
            ("GET / HTTP/1.1\r\nHost: evil.example:5432\r\n\r\n".into(), false),
            ("GET / HTTP/1.1\r\nHost: b\u{fc}cher.example\r\n\r\n".into(), false),
            ("GET / HTTP/1.1\r\nno field\r\n\r\n".into(), false),
            (long, false),
            (many, false),
            ("GET / HTTP/1.1\r\nHost: localhost:5432\r\n\r\nand more".into(), true),
            ("GET / HTTP/1.1\r\nHost: db.proxy.example\r\n\r\n".into(), true),
            ("GET key\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".into(), true),
            ("GE".into(), true),
            ("GETTING\r\n".into(), true),
            ("\0\0\0\u{8}\u{4}".into(), true),
            ("x".repeat(2 * MOST_HEAD), true),
            (String::new(), true),
        ] {
            for piece in [1, 7, 4096, 1 << 20] {
                let expected = is_passed.then(|| said.clone());
                assert!(passes(&said, piece).await == expected, "{:?} by {piece}", said.get(..80).unwrap_or(&said));
            }
        }
    }
}
