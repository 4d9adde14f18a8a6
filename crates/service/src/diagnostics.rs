//! The diagnostics endpoint: is it alive, is it ready and why not, what has it counted. Plain HTTP, meant for
//! loopback or a private network; it shows no secrets.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Clock;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use telemetry::{
    log::Handle,
    metrics::{self, Registry},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};

use crate::{Readiness, Stop, Supervisor};

/// How many diagnostics connections may be open; more wait to be accepted.
const CONNECTIONS: usize = 64;

/// How long one connection may take, from accept to the end of the answer. Each carries one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// The name of a log level, with room for white space.
const MAX_BODY: usize = 64;

/// The paths that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// A server's: `/healthz`, `/livez`, `/readyz`, `/readyz/<component>`, `/metrics`.
    Server,
    /// A bot's: `/livez`, `/readyz`, `/readyz/<component>`, `/metrics`.
    Bot,
}

/// What the endpoint shows.
#[derive(Clone)]
pub struct Diagnostics {
    /// The paths that are served.
    pub paths: Paths,
    /// Who is ready.
    pub readiness: Readiness,
    /// What was counted.
    pub registry: Arc<Registry>,
    /// For the connections' deadline.
    pub clock: Clock,
    /// Whether `/debug/pprof` is there (to say what to use instead): the program was started with `--debug`.
    pub debug: bool,
    /// What `/log-level` shows and sets. Only for a socket that nobody but the operator can open: nothing else here
    /// changes anything.
    pub log: Option<Handle>,
}

/// Where diagnostics are asked for.
#[derive(Debug)]
pub enum Port {
    /// A port, open to whoever reaches it.
    Tcp(TcpListener),
    /// A socket file, open to whom its mode lets in.
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Port {
    async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Port::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
            Port::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        })
    }
}

impl Diagnostics {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<Port> {
        Ok(Port::Tcp(TcpListener::bind(address).await?))
    }

    /// Serves until stopped; a task for [`Supervisor::spawn`].
    ///
    /// # Errors
    /// None today; a failed accept is logged and tried again.
    pub async fn serve(self, port: Arc<Port>, supervisor: Supervisor, stop: Stop) -> io::Result<()> {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let accepted = tokio::select! {
                () = stop.requested() => return Ok(()),
                accepted = port.accept() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    let this = self.clone();
                    supervisor.spawn_once("diagnostics connection", async move {
                        match stream {
                            Stream::Tcp(stream) => this.connection(stream).await,
                            Stream::Unix(stream) => this.connection(stream).await,
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "diagnostics: accept failed");
                    self.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let answer =
            service_fn(|request: Request<Incoming>| async move { Ok::<_, Infallible>(self.answer(request).await) });
        let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
        // A peer that breaks off or is slow is no concern of ours.
        let _ = self.clock.timeout(DEADLINE, connection).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        match (&self.log, path.as_str()) {
            (Some(log), "/log-level") if request.method() == Method::PUT => {
                match Limited::new(request.into_body(), MAX_BODY).collect().await {
                    Ok(body) => set_level(log, &String::from_utf8_lossy(&body.to_bytes())),
                    Err(_) => text(StatusCode::BAD_REQUEST, "the body must be the name of a log level\n"),
                }
            }
            _ if request.method() != Method::GET && request.method() != Method::HEAD => {
                text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n")
            }
            (Some(log), "/log-level") => text(StatusCode::OK, format!("{}\n", log.severity())),
            (_, path) => self.show(path),
        }
    }

    fn show(&self, path: &str) -> Response<Full<Bytes>> {
        match (path, self.paths) {
            ("/healthz", Paths::Server) | ("/livez", _) => json(StatusCode::OK, &serde_json::json!({"status": "ok"})),
            ("/readyz", _) => json(status(self.readiness.is_ready()), &self.readiness.report()),
            ("/metrics", _) => {
                let mut response = text(StatusCode::OK, metrics::render(&self.registry));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
                response
            }
            (path, _) if path.starts_with("/debug/pprof") => self.profile(),
            (path, _) => match path.strip_prefix("/readyz/") {
                Some(name) => self.component(name),
                None => text(StatusCode::NOT_FOUND, format!("not found; there are {}\n", self.all_paths().join(", "))),
            },
        }
    }

    fn component(&self, name: &str) -> Response<Full<Bytes>> {
        match self.readiness.component(name) {
            Some(report) => json(status(report.is_ready()), &report),
            None => {
                let services: Vec<_> = self.readiness.report().services.into_keys().collect();
                let error = format!("there is no service {name:?}; there are {}", services.join(", "));
                json(StatusCode::NOT_FOUND, &serde_json::json!({"error": error, "services": services}))
            }
        }
    }

    /// Profiles need no help from inside: the kernel samples us as we are, symbols included.
    fn profile(&self) -> Response<Full<Bytes>> {
        if !self.debug {
            return text(StatusCode::NOT_FOUND, "profiles are only answered for after a start with --debug\n");
        }
        let pid = std::process::id();
        let advice = format!(
            "this program serves no profiles of its own; on its host, use\n  \
             CPU:   perf record -g -p {pid} -- sleep 30 && perf report\n  \
             heap:  heaptrack -p {pid}\n  \
             tasks: kill -USR1 {pid} writes what runs to a server's log\n"
        );
        text(StatusCode::NOT_IMPLEMENTED, advice)
    }

    fn all_paths(&self) -> Vec<&'static str> {
        let mut paths = match self.paths {
            Paths::Server => vec!["/healthz", "/livez", "/readyz", "/readyz/<service>", "/metrics"],
            Paths::Bot => vec!["/livez", "/readyz", "/readyz/<service>", "/metrics"],
        };
        paths.extend(self.log.is_some().then_some("/log-level"));
        paths
    }
}

fn set_level(log: &Handle, wanted: &str) -> Response<Full<Bytes>> {
    match wanted.trim().parse() {
        Ok(severity) if !wanted.trim().is_empty() => {
            let before = log.severity();
            log.set_severity(severity);
            tracing::info!(%before, now = %severity, "log level changed");
            text(StatusCode::OK, format!("Changed log level from \"{before}\" to \"{severity}\".\n"))
        }
        Ok(_) => text(StatusCode::BAD_REQUEST, "the body must be the name of a log level\n"),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    // The reports have string keys only, so they can always be written.
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    let mut response = text(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
