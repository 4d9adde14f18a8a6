//! A small application: it tells what it was asked, counts, streams, upgrades.

use std::{convert::Infallible, future::Future};

use bytes::Bytes;
use clock::Clock;
use crypto::tls::{CertificateChain, ClientAuth, ServerCertificate, server_config};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use net::BoxIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The header that tells connections to the application apart.
pub(crate) const CONNECTION_ID: &str = "x-connection";

/// Its address, and the future that is the application.
pub(crate) async fn start() -> (String, impl Future<Output = ()> + Send) {
    listen(None).await
}

/// The same over TLS.
pub(crate) async fn start_with_tls(chain: CertificateChain) -> (String, impl Future<Output = ()> + Send) {
    let certificate = ServerCertificate::new(chain);
    let config = server_config(certificate, ClientAuth::None, &[b"h2", b"http/1.1"], &Clock::system()).unwrap();
    listen(Some(TlsAcceptor::from(config))).await
}

async fn listen(tls: Option<TlsAcceptor>) -> (String, impl Future<Output = ()> + Send) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, peer)) = listener.accept().await {
            let tls = tls.clone();
            connections.spawn(async move {
                let stream: BoxIo = match tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                    None => Box::new(stream),
                };
                let service = hyper::service::service_fn(|request| async move {
                    let mut response = answer(request).await;
                    response.headers_mut().insert(CONNECTION_ID, peer.port().into());
                    Ok::<_, Infallible>(response)
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
            });
        }
    };
    (address, serving)
}

/// An application that sends interim answers without end; that it is not read from any more ends it.
pub(crate) async fn flooding() -> (String, impl Future<Output = usize> + Send) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let flooding = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = 0;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {
            sent += 1;
        }
        sent
    };
    (address, flooding)
}

/// An application that takes a request, body and all, and never answers.
pub(crate) async fn mute() -> (String, impl Future<Output = ()> + Send) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taking = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    };
    (address, taking)
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).boxed_unsync())
}

async fn answer(mut request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/count" => {
            let mut count = 0;
            while let Some(Ok(frame)) = request.body_mut().frame().await {
                count += frame.data_ref().map_or(0, Bytes::len);
            }
            text(count.to_string())
        }
        "/away" => {
            let mut response = text("");
            *response.status_mut() = StatusCode::FOUND;
            let host = request.headers()[header::HOST].to_str().unwrap();
            let location = format!("http://{host}/there?x=1");
            response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
            response.headers_mut().insert("x-teleport-hop", HeaderValue::from_static("session"));
            response
        }
        "/events" => events(),
        "/cookies" => {
            let mut response = text("");
            for cookie in ["a=b", "__Host-grv_app_session=evil", "=__Host-grv_app_session=evil; Domain=proxy.example"] {
                response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static(cookie));
            }
            response
        }
        "/huge" => huge(),
        "/socket" => socket(request),
        "/grpc" => grpc(&request),
        _ => {
            let mut lines = vec![format!("{} {} {:?}", request.method(), request.uri(), request.version())];
            let headers = request.headers().iter();
            lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
            lines.sort();
            text(lines.join("\n"))
        }
    }
}

/// One event at once, and never the end.
fn events() -> Response<Body> {
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"data: 1\n\n")))]);
    let never = futures_util::stream::pending();
    let body = StreamBody::new(futures_util::StreamExt::chain(first, never)).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// 64 MiB, made as it is read.
fn huge() -> Response<Body> {
    let chunk = Bytes::from(vec![7_u8; 64 * 1024]);
    let chunks = (0..1024).map(move |_| Ok(Frame::data(chunk.clone())));
    Response::new(StreamBody::new(futures_util::stream::iter(chunks)).boxed_unsync())
}

/// Answers with what it reads, once it was upgraded.
fn socket(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (ended, mut never) = mpsc::channel::<()>(1);
    let echo = async move {
        let _alive = ended;
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    hyper::rt::Executor::execute(&TokioExecutor::new(), echo);
    assert!(never.try_recv().is_err());
    let mut response = text("");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// What gRPC needs: HTTP/2 to the end, and trailers.
fn grpc(request: &Request<Incoming>) -> Response<Body> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let version = format!("{:?}", request.version());
    let te = request.headers().get(header::TE).cloned();
    let frames = [Ok(Frame::data(Bytes::from(version))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
    response
}
