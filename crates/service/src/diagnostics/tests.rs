use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Policy;

struct Served {
    readiness: Readiness,
    supervisor: Supervisor,
}

impl Served {
    fn start(port: Port, paths: Paths, debug: bool, log: Option<Handle>) -> Self {
        let (readiness, clock) = (Readiness::new(), Clock::system());
        let registry = Arc::new(Registry::default());
        let diagnostics =
            Diagnostics { paths, readiness: readiness.clone(), registry, clock: clock.clone(), debug, log };
        let (supervisor, port) = (Supervisor::new(clock), Arc::new(port));
        let task = supervisor.clone();
        supervisor.spawn("diagnostics", Policy::Fatal, move |stop| {
            diagnostics.clone().serve(Arc::clone(&port), task.clone(), stop)
        });
        Self { readiness, supervisor }
    }

    async fn stop(self) {
        self.supervisor.stop().soft();
        assert_eq!(self.supervisor.run(Duration::from_secs(5)).await, crate::Outcome::default());
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_endpoint_answers_over_http() {
    let port = Diagnostics::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let Port::Tcp(listener) = &port else { panic!("{port:?}") };
    let address = listener.local_addr().unwrap();
    let served = Served::start(port, Paths::Bot, false, None);
    let identity = served.readiness.register("identity");
    let get = async |path: &str| ask(TcpStream::connect(address).await.unwrap(), "GET", path, "").await;
    identity.unready("certificate expired");
    let answer = get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains(r#""reasons":["identity: certificate expired"]"#), "{answer}");
    assert!(get("/readyz/identity").await.starts_with("HTTP/1.1 503"));
    identity.ready();
    assert!(get("/readyz").await.contains(r#"{"status":"ok""#));
    assert!(get("/readyz/identity").await.starts_with("HTTP/1.1 200"));
    let answer = get("/readyz/other").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains(r#""services":["identity"]"#), "{answer}");
    assert!(get("/livez").await.starts_with("HTTP/1.1 200"));
    let answer = get("/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("there are /livez, /readyz"), "{answer}");
    assert!(get("/metrics").await.ends_with("# EOF\n"));
    assert!(get("/debug/pprof/heap").await.contains("404 Not Found"));
    let stream = TcpStream::connect(address).await.unwrap();
    assert!(ask(stream, "PUT", "/log-level", "DEBUG").await.starts_with("HTTP/1.1 405"));
    served.stop().await;
}

#[tokio::test]
async fn the_operators_socket_also_sets_the_log_level_and_says_how_to_profile() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("debug.sock");
    let (_, log) = telemetry::log::subscriber(&telemetry::log::Config::default(), Clock::system()).unwrap();
    let port = Port::Unix(UnixListener::bind(&path).unwrap());
    let served = Served::start(port, Paths::Server, true, Some(log.clone()));
    let say = async |method: &str, at: &str, body: &str| {
        ask(UnixStream::connect(&path).await.unwrap(), method, at, body).await
    };
    assert!(say("GET", "/log-level", "").await.ends_with("\r\nINFO\n"));
    let answer = say("PUT", "/log-level", "debug\n").await;
    assert!(answer.ends_with("Changed log level from \"INFO\" to \"DEBUG\".\n"), "{answer}");
    assert!(say("GET", "/log-level", "").await.ends_with("DEBUG\n"));
    for wrong in ["loud", "", &"x".repeat(1000)] {
        assert!(say("PUT", "/log-level", wrong).await.starts_with("HTTP/1.1 400"), "{wrong}");
    }
    assert_eq!(log.severity(), telemetry::log::Severity::Debug);
    let answer = say("GET", "/debug/pprof/profile", "").await;
    assert!(answer.starts_with("HTTP/1.1 501") && answer.contains("perf record"), "{answer}");
    served.stop().await;
}
