//! Connections below the client library: any bytes to any path, over TLS or the administrator's socket.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use crypto::tls::{AUTH_SERVER_NAME, CertificateChain, ClientOptions, Trust, client_config};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longer than any answer that is not a stream takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer that may be a stream is listened to once it has begun.
const LISTEN: Duration = Duration::from_millis(300);

/// gRPC codes by number.
pub(crate) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const INVALID_ARGUMENT: i32 = 3;
    pub(crate) const NOT_FOUND: i32 = 5;
    pub(crate) const PERMISSION_DENIED: i32 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(crate) const INTERNAL: i32 = 13;
    pub(crate) const UNIMPLEMENTED: i32 = 12;
}

/// One HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Raw {
    sender: http2::SendRequest<Full<Bytes>>,
}

/// What the server said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The status, unless the answer is a stream that goes on.
    pub(crate) code: Option<i32>,
    /// The status' text, percent-decoded no further than a test needs.
    pub(crate) message: String,
    /// All messages with their frames.
    pub(crate) data: Bytes,
}

impl Answer {
    pub(crate) fn is(&self, code: i32) -> bool {
        self.code == Some(code)
    }

    /// Whether it is a success, or a stream that has begun.
    pub(crate) fn is_success(&self) -> bool {
        self.code.is_none_or(|code| code == code::OK)
    }

    /// The bytes of the first message.
    pub(crate) fn message_bytes(&self) -> &[u8] {
        self.data.get(5..).unwrap_or_default()
    }
}

/// A client's TLS configuration that believes any server: who the server is, is not what these tests ask.
pub(crate) fn tls(certificate: Option<CertificateChain>) -> Arc<rustls::ClientConfig> {
    let options = ClientOptions { trust: Trust::DangerAnyServer, certificate, alpn: vec![b"h2".to_vec()] };
    client_config(options, &clock::Clock::system()).unwrap()
}

/// TCP and TLS; `source` is the address to come from.
pub(crate) async fn connect(
    address: SocketAddr,
    source: [u8; 4],
    config: Arc<rustls::ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(AUTH_SERVER_NAME.try_into().unwrap(), stream).await
}

impl Raw {
    pub(crate) async fn stranger(address: SocketAddr) -> Self {
        Self::over(connect(address, [127, 0, 0, 1], tls(None)).await.unwrap()).await
    }

    pub(crate) async fn with(address: SocketAddr, certificate: CertificateChain) -> Self {
        Self::over(connect(address, [127, 0, 0, 1], tls(Some(certificate))).await.unwrap()).await
    }

    pub(crate) async fn administrator(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).await.unwrap()).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// One call with one message.
    pub(crate) async fn call(&self, path: &str, message: &[u8]) -> Answer {
        self.send(path, framed(message, false), &[]).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// One call with any body and further headers.
    pub(crate) async fn send(&self, path: &str, body: Bytes, headers: &[(&str, &str)]) -> Result<Answer, hyper::Error> {
        let mut request = http::Request::post(format!("https://{AUTH_SERVER_NAME}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let mut sender = self.sender.clone();
        let response = timeout(PATIENCE, async {
            sender.ready().await?;
            sender.send_request(request).await
        });
        let response = response.await.unwrap_or_else(|_| panic!("{path}: no answer within {PATIENCE:?}"))?;
        let mut answer = Answer::default();
        answer.take_status(response.headers());
        answer.read(response.into_body()).await;
        Ok(answer)
    }
}

impl Answer {
    fn take_status(&mut self, headers: &http::HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(code) = text("grpc-status") {
            self.code = code.parse().ok();
            self.message = text("grpc-message").unwrap_or_default().replace("%20", " ").replace("%22", "\"");
        }
    }

    /// Reads messages until the trailers, or until nothing more comes.
    async fn read(&mut self, mut body: Incoming) {
        let mut data = BytesMut::new();
        loop {
            let patience = if data.is_empty() { PATIENCE } else { LISTEN };
            match timeout(patience, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(more) => data.extend_from_slice(&more),
                    Err(frame) => {
                        if let Some(trailers) = frame.trailers_ref() {
                            self.take_status(trailers);
                        }
                    }
                },
                Ok(Some(Err(_)) | None) | Err(_) => break,
            }
        }
        self.data = data.freeze();
    }
}

/// A message as gRPC carries it.
pub(crate) fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut body = Vec::with_capacity(message.len() + 5);
    body.push(u8::from(is_compressed));
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    body.into()
}

/// Shakes hands and speaks HTTP/2 first, as a client does. Says what the server answered on the application's level before
/// it ended the connection; `None` when it did not end it.
pub(crate) async fn refused(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> Option<Vec<u8>> {
    // In TLS 1.3 a client is done before the server has seen its certificate.
    let Ok(mut stream) = connect(address, [127, 0, 0, 1], config).await else { return Some(Vec::new()) };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut received = Vec::new();
    if stream.write_all(preface).await.is_err() || stream.flush().await.is_err() {
        return Some(received);
    }
    timeout(Duration::from_secs(2), stream.read_to_end(&mut received)).await.ok().map(|_| received)
}
