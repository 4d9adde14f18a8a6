//! The diagnostics endpoint: is it alive, is it ready and why not, what has it counted. Plain HTTP, meant for
//! loopback or a private network; it shows no secrets.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Clock;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use telemetry::metrics::{self, Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{Readiness, Stop, Supervisor};

/// How many diagnostics connections may be open; more wait to be accepted.
const CONNECTIONS: usize = 64;

/// How long one connection may take, from accept to the end of the answer. Each carries one request.
const DEADLINE: Duration = Duration::from_secs(10);

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
}

impl Diagnostics {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    /// Serves until stopped; a task for [`Supervisor::spawn`].
    ///
    /// # Errors
    /// None today; a failed accept is logged and tried again.
    pub async fn serve(self, listener: Arc<TcpListener>, supervisor: Supervisor, stop: Stop) -> io::Result<()> {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let accepted = tokio::select! {
                () = stop.requested() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let this = self.clone();
                    supervisor.spawn_once("diagnostics connection", async move {
                        this.connection(stream).await;
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

    async fn connection(&self, stream: TcpStream) {
        let answer = service_fn(|request: Request<Incoming>| {
            let response = self.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
        // A peer that breaks off or is slow is no concern of ours.
        let _ = self.clock.timeout(DEADLINE, connection).await;
    }

    /// The answer to a request.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        }
        match (path, self.paths) {
            ("/healthz", Paths::Server) | ("/livez", _) => json(StatusCode::OK, &serde_json::json!({"status": "ok"})),
            ("/readyz", _) => json(status(self.readiness.is_ready()), &self.readiness.report()),
            ("/metrics", _) => {
                let mut response = text(StatusCode::OK, metrics::render(&self.registry));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(metrics::CONTENT_TYPE));
                response
            }
            (path, _) => match path.strip_prefix("/readyz/").and_then(|name| self.readiness.component(name)) {
                Some(report) => json(status(report.is_ready()), &report),
                None => text(StatusCode::NOT_FOUND, "not found\n"),
            },
        }
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
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Policy;

    #[tokio::test]
    async fn the_endpoint_answers_over_http() {
        let readiness = Readiness::new();
        let identity = readiness.register("identity");
        let diagnostics = Diagnostics {
            paths: Paths::Bot,
            readiness,
            registry: Arc::new(Registry::default()),
            clock: Clock::system(),
        };
        let supervisor = Supervisor::new(Clock::system());
        let listener = Arc::new(Diagnostics::bind(([127, 0, 0, 1], 0).into()).await.unwrap());
        let address = listener.local_addr().unwrap();
        let task = supervisor.clone();
        supervisor.spawn("diagnostics", Policy::Fatal, move |stop| {
            diagnostics.clone().serve(Arc::clone(&listener), task.clone(), stop)
        });
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        identity.unready("certificate expired");
        let answer = get("/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#""reasons":["identity: certificate expired"]"#), "{answer}");
        assert!(get("/readyz/identity").await.starts_with("HTTP/1.1 503"));
        identity.ready();
        assert!(get("/readyz").await.contains(r#"{"status":"ok""#));
        assert!(get("/readyz/identity").await.starts_with("HTTP/1.1 200"));
        assert!(get("/readyz/other").await.starts_with("HTTP/1.1 404"));
        assert!(get("/livez").await.starts_with("HTTP/1.1 200"));
        assert!(get("/healthz").await.starts_with("HTTP/1.1 404"));
        assert!(get("/metrics").await.ends_with("# EOF\n"));
        supervisor.stop().soft();
        assert_eq!(supervisor.run(Duration::from_secs(5)).await, crate::Outcome::default());
    }
}
