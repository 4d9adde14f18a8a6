//! How what runs comes to its end, and what the audit log says of it.

use std::time::Duration;

use api::{
    r#gen::proto::DeleteUserAppSessionsRequest,
    methods::proto::auth_service::{DeleteLock, DeleteUserAppSessions},
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    app,
    kit::{Kit, empty, end_of, host, until},
};
use crate::support::people::{self, Person};

/// ARCHITECTURE: a change has taken effect within a second at agents. The rest is for a machine with much to do.
const SOON: Duration = Duration::from_secs(3);

/// ARCHITECTURE: an answer about a session is kept for five seconds.
const LATE: Duration = Duration::from_secs(8);

/// All that can run for one session.
struct Running {
    http1: Incoming,
    http2: Incoming,
    tcp: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
}

impl Running {
    async fn begin(kit: &Kit, hello: &Person, db: &Person) -> Self {
        let http1 = kit.line("hello", hello).await.events().await;
        let mut line2 = kit.line2("hello", hello).await;
        let request = Request::get(format!("https://{}/events", host("hello"))).body(empty()).unwrap();
        let mut http2 = line2.send_request(request).await.unwrap().into_body();
        assert!(http2.frame().await.unwrap().is_ok());
        let mut tcp = kit.tls(&host("db"), Some(db), b"teleport-tcp").await;
        tcp.write_all(b"hello").await.unwrap();
        tcp.read_exact(&mut [0; 5]).await.unwrap();
        Self { http1, http2, tcp }
    }

    /// Waits until all have ended.
    async fn end_within(mut self, within: Duration, what: &str) {
        let tcp = async {
            let ended = tokio::time::timeout(within, self.tcp.read(&mut [0; 5])).await;
            assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{what}: TCP goes on: {ended:?}");
        };
        let (http1, http2, ()) = tokio::join!(end_of(self.http1), end_of(self.http2), tcp);
        assert!(http1 < within && http2 < within, "{what}: {http1:?} {http2:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_roles_logout_and_expiry_end_what_runs_and_are_told() {
    let ((address, _), db) = (app::start().await, app::tcp().await);
    let kit = Kit::start(&format!(
        "  apps:
  - {{name: hello, uri: 'http://{address}', labels: {{env: dev}}}}
  - {{name: db, uri: 'tcp://{db}', labels: {{env: dev}}}}
"
    ))
    .await;
    let (hello, tcp) = (kit.reached("hello").await, kit.routed("db").await);
    until("the proxy knows the second application", async || {
        let mut stream = kit.tls(&host("db"), Some(&tcp), b"teleport-tcp").await;
        stream.write_all(b"x").await.ok()?;
        matches!(stream.read(&mut [0; 1]).await, Ok(1)).then_some(())
    })
    .await;

    let running = Running::begin(&kit, &hello, &tcp).await;
    people::lock(&kit.admin, "stop", json!({"user": "alice"})).await;
    running.end_within(SOON, "lock").await;
    let (status, _) = kit.line("hello", &hello).await.get("/").await;
    assert_ne!(status, StatusCode::OK, "a new connection after the lock");
    let unlocked = api::r#gen::proto::DeleteLockRequest { name: "stop".to_owned() };
    kit.admin.call::<DeleteLock>(unlocked).await.unwrap();
    kit.until_reached("hello", &hello).await;
    until("the session lives again without the lock", async || {
        (kit.line("hello", &hello).await.get("/").await.0 == StatusCode::OK).then_some(())
    })
    .await;

    let running = Running::begin(&kit, &hello, &tcp).await;
    people::role(&kit.admin, "dev", json!({"allow": {"app_labels": {"env": "other"}}})).await;
    running.end_within(SOON, "role").await;
    assert_eq!(kit.line("hello", &hello).await.get("/").await.0, StatusCode::FORBIDDEN);
    people::role(&kit.admin, "dev", json!({"allow": {"app_labels": {"env": "dev"}}})).await;
    until("the role allows it again", async || {
        (kit.line("hello", &hello).await.get("/a?secret=1").await.0 == StatusCode::OK).then_some(())
    })
    .await;

    // Expiry and logout, beside each other: both take some seconds.
    let short = (kit.routed_for("hello", 8, 0).await, kit.routed_for("db", 8, 0).await);
    let expiring = Running::begin(&kit, &short.0, &short.1).await;
    expiring.end_within(SOON + Duration::from_secs(8), "expiry").await;
    let running = Running::begin(&kit, &hello, &tcp).await;
    let request = DeleteUserAppSessionsRequest { username: "alice".to_owned() };
    kit.client.call::<DeleteUserAppSessions>(request).await.unwrap();
    running.end_within(LATE, "logout").await;
    assert_eq!(kit.line("hello", &hello).await.get("/").await.0, StatusCode::FOUND, "led to the login page");

    told(&kit).await;
    kit.cluster.stop().await;
}

/// Looks at what the audit log says.
async fn told(kit: &Kit) {
    let ends = until("the cuts are told", async || {
        let ends = kit.events("app.session.end").await;
        (ends.iter().filter(|end| end["server_id"].is_string()).count() >= 4).then_some(ends)
    })
    .await;
    let starts = kit.events("app.session.start").await;
    let sids: Vec<_> = starts.iter().map(|start| &start["sid"]).collect();
    assert!(ends.iter().all(|end| sids.contains(&&end["sid"]) && end["user"] == "alice"), "{ends:?}");
    let cut = |reason: &str| {
        ends.iter().any(|end| end["server_id"].is_string() && end["reason"].as_str().unwrap_or("").contains(reason))
    };
    assert!(cut("lock") && cut("role"), "{ends:?}");
    assert!(ends.iter().any(|end| end["ended_by"] == "alice"), "the logout: {ends:?}");
    let refused: Vec<_> = starts.iter().filter(|start| start["code"] == "T2007E").collect();
    assert!(refused.iter().any(|start| start["error"].as_str().unwrap().contains("roles do not allow")), "{starts:?}");
    let chunks = kit.events("app.session.chunk").await;
    let of_hello = chunks.iter().find(|chunk| chunk["app_name"] == "hello").expect("a stretch of requests");
    assert_eq!((&of_hello["code"], &of_hello["user"]), (&json!("T2008I"), &json!("alice")));
    assert_eq!(of_hello["app_labels"]["env"], "dev");
    assert!(of_hello["addr.remote"].as_str().unwrap().starts_with("127.0.0.1"), "{of_hello}");
}
