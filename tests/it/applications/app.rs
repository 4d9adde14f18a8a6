//! An application that does what applications do: streams, counts, upgrades, speaks gRPC, redirects, and dies.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the large answers are made of.
pub(crate) const CHUNK: usize = 64 * 1024;

/// What an application has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Bytes of bodies that it has made so far.
    pub(crate) made: AtomicUsize,
    /// Bytes of bodies that it has read so far.
    pub(crate) read: AtomicUsize,
    /// Requests that it has begun to answer.
    pub(crate) asked: AtomicUsize,
    /// Whether an answer of `/events` was given up.
    pub(crate) is_given_up: AtomicBool,
}

/// Its address, and what it sees. It runs as long as the test's runtime.
pub(crate) async fn start() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
    let of_task = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&of_task)));
        }
    });
    (address, seen)
}

async fn connection(stream: TcpStream, seen: Arc<Seen>) {
    let mut begin = [0; 3];
    while stream.peek(&mut begin).await.is_ok_and(|read| read < 3 && read > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let service = service_fn(move |request| {
        let seen = Arc::clone(&seen);
        async move { answer(request, seen).await.ok_or(std::io::Error::other("it dies")) }
    });
    // HTTP/2 with prior knowledge, as gRPC speaks without TLS.
    if &begin == b"PRI" {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
    } else {
        let server = http1::Builder::new();
        drop(server.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
    }
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).boxed_unsync())
}

/// None: the connection breaks without an answer.
async fn answer(mut request: Request<Incoming>, seen: Arc<Seen>) -> Option<Response<Body>> {
    seen.asked.fetch_add(1, Ordering::Relaxed);
    Some(match request.uri().path() {
        "/events" => events(seen),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            text("at last")
        }
        "/die" => return None,
        "/count" => {
            let mut count = 0;
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                count += frame.data_ref().map_or(0, Bytes::len);
                seen.read.store(count, Ordering::Relaxed);
            }
            text(count.to_string())
        }
        "/ignore" => {
            // Reads nothing until it is told to.
            tokio::time::sleep(Duration::from_secs(60)).await;
            text("")
        }
        "/huge" => {
            let megabytes: usize = request.uri().query().unwrap_or("1").parse().unwrap();
            let chunks = stream::iter(0..megabytes * 1024 * 1024 / CHUNK).map(move |_| {
                seen.made.fetch_add(CHUNK, Ordering::Relaxed);
                Ok(Frame::data(Bytes::from_static(&[7; CHUNK])))
            });
            Response::new(StreamBody::new(chunks).boxed_unsync())
        }
        "/socket" => socket(request),
        "/echo.Echo/Say" => grpc(request).await,
        "/away" => {
            let host = request.headers()[header::HOST].to_str().unwrap();
            let answer = Response::builder().status(StatusCode::FOUND);
            let to = match request.uri().query() {
                Some(other) => format!("http://{other}/there"),
                None => format!("http://{host}/there?x=1"),
            };
            answer.header(header::LOCATION, to).body(text("").into_body()).unwrap()
        }
        _ => {
            let mut lines = vec![format!("{} {}", request.method(), request.uri())];
            let headers = request.headers().iter();
            lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?"))));
            text(lines.join("\n"))
        }
    })
}

struct GivenUp(Arc<Seen>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// An event at once, another one each 100 ms, and never the end.
fn events(seen: Arc<Seen>) -> Response<Body> {
    let held = GivenUp(seen);
    let events = stream::unfold((0_u32, held), |(count, held)| async move {
        if count > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some((Ok(Frame::data(Bytes::from(format!("data: {count}\n\n")))), (count + 1, held)))
    });
    let answer = Response::builder().header(header::CONTENT_TYPE, "text/event-stream");
    answer.body(StreamBody::new(events).boxed_unsync()).unwrap()
}

/// Answers with what it reads, once it was upgraded; at the end of that it says goodbye.
fn socket(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
        let _ = stream.write_all(b"goodbye").await;
        let _ = stream.shutdown().await;
    });
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let answer = answer.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "websocket");
    answer.body(text("").into_body()).unwrap()
}

/// A gRPC method that streams both ways: each message comes back as soon as it is there, the status at the end.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.version(), http::Version::HTTP_2);
    assert_eq!(request.headers()[header::TE], "trailers");
    let messages = request.into_body().into_data_stream().filter_map(|data| async move { data.ok() });
    let frames = messages.map(|data| Ok(Frame::data(data)));
    let end = stream::once(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("grpc-message", "said".parse().unwrap());
        Ok(Frame::trailers(trailers))
    });
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/grpc+proto");
    answer.body(StreamBody::new(frames.chain(end)).boxed_unsync()).unwrap()
}

/// A TCP application: answers with what it reads; when its client has said all, it says goodbye.
pub(crate) async fn tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"goodbye").await;
            });
        }
    });
    address
}
