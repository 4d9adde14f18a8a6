//! Somebody has the identity of a proxy: what it can do with that, and what it cannot.
//!
//! Known and documented: it can act for sessions whose certificate or cookie it has seen, on that application, until they
//! end. Everything else here must be refused.

use std::time::Duration;

use api::{
    r#gen::{
        proto::{self, UserCertsRequest},
        tessera::v1::{AppAssertionRequest, AppSession, FetchAppSessionRequest, ListProxiesRequest},
    },
    methods::{
        proto::auth_service::{
            CreateAppSession, DeleteAllAppSessions, DeleteAppSession, DeleteUserAppSessions, GenerateAppToken,
            GenerateUserCerts, GetAppSession, ListAppSessions,
        },
        tessera::v1::{
            app_sessions::{Assertion, Fetch},
            presence::ListProxies,
        },
    },
};
use client::Client;
use clock::Clock;
use crypto::{
    KeyPair, hash,
    tls::{CertificateChain, ClientOptions, Trust, client_config},
    x509::Certificate,
};
use domain::{Error, error::Kind, identity::Identity, role::SystemRole};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tunnel::{Open, Stream, Transport, link::Opener};

use super::{
    app,
    kit::{Body, CLUSTER, Kit, empty, end_of, full, host, text, tls, until},
};
use crate::support::people::{self, Person};

const HOUR: u64 = 3600;

/// The identity of a proxy, in the wrong hands.
struct Thief {
    person: Person,
    client: Client,
    /// A link to a real proxy, as proxies have among each other.
    opener: Opener,
    agent: String,
}

fn id_of(person: &Person) -> String {
    Identity::from_subject(person.certificate.subject()).unwrap().route_to_app.session_id
}

impl Thief {
    async fn new(kit: &Kit) -> Self {
        let person = crate::proxied::host(&kit.cluster, &kit.admin, SystemRole::Proxy.as_str()).await;
        let client = kit.cluster.client(person.credentials()).await;
        let proxies = client.call::<ListProxies>(ListProxiesRequest {}).await.unwrap().proxies;
        let own = Identity::from_subject(person.certificate.subject()).unwrap().host_id().unwrap().to_owned();
        let real =
            proxies.into_iter().find(|proxy| proxy.host_id != own).expect("the real proxy says that it is there");
        let name = format!("{}.{CLUSTER}", real.host_id);
        let stream = tls(kit.proxy, &name, &kit.alice.authorities, Some(person.chain()), b"tessera-peer");
        let (opener, link) =
            Opener::begin(Transport::plain(stream.await.unwrap()), &real.host_id, &Clock::system()).await.unwrap();
        tokio::spawn(link);
        let servers = proto::ListResourcesRequest {
            resource_type: "app_server".to_owned(),
            limit: 10,
            ..proto::ListResourcesRequest::default()
        };
        let page = client.call::<api::methods::proto::auth_service::ListResources>(servers).await.unwrap();
        let agent = page.resources.into_iter().find_map(|resource| {
            let proto::paginated_resource::Resource::AppServer(server) = resource.resource?;
            Some(server.spec?.host_id)
        });
        Self { person, client, opener, agent: agent.expect("an agent") }
    }

    async fn fetch(&self, id: &str) -> Result<AppSession, Error> {
        self.client.call::<Fetch>(FetchAppSessionRequest { session_id: id.to_owned() }).await
    }

    /// A connection to the agent that shows this certificate.
    async fn to_agent(&self, certificate: CertificateChain) -> std::io::Result<TlsStream<Stream>> {
        let open = Open {
            agent: Some(self.agent.clone()),
            source: Some("192.0.2.1:1".parse().unwrap()),
            ..Open::service("app")
        };
        let stream = self.opener.open(&open, &Clock::system()).await.map_err(std::io::Error::other)?;
        let options = ClientOptions {
            trust: Trust::Roots(self.person.authorities.clone()),
            certificate: Some(certificate),
            alpn: vec![b"http/1.1".to_vec()],
        };
        let config = client_config(options, &Clock::system()).unwrap();
        let name = ServerName::try_from(format!("{}.{CLUSTER}", self.agent)).unwrap();
        TlsConnector::from(config).connect(name, stream).await
    }

    async fn ask(&self, certificate: &CertificateChain, to: &str, path: &str) -> Option<http::Response<Incoming>> {
        let stream = self.to_agent(certificate.clone()).await.ok()?;
        let (mut sender, connection): (SendRequest<Body>, _) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", to).body(empty()).unwrap();
        sender.send_request(request).await.ok()
    }
}

fn own_certificate(session: &AppSession) -> CertificateChain {
    let certificate = Certificate::from_der(&session.certificate).unwrap();
    CertificateChain::new(&[certificate], &KeyPair::from_pkcs8_der(&session.private_key).unwrap()).unwrap()
}

fn denied<T>(what: &str, answer: Result<T, Error>) {
    let error = answer.err().unwrap_or_else(|| panic!("{what}: allowed"));
    assert_eq!(error.kind, Kind::Denied, "{what}: {error}");
}

/// Where a request with these cookies and this certificate is led.
async fn offered(kit: &Kit, certificate: Option<CertificateChain>, cookies: &str) -> StatusCode {
    let stream = tls(kit.proxy, &host("hello"), &kit.alice.authorities, certificate, b"http/1.1").await.unwrap();
    let mut line = super::kit::Line::over(stream, "hello").await;
    let mut request = line.request("GET", "/").body(full("")).unwrap();
    if !cookies.is_empty() {
        request.headers_mut().insert("cookie", cookies.parse().unwrap());
    }
    line.send(request).await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_proxy_identity_leads_nowhere_but_where_it_was_shown_the_way() {
    let ((address, _), (other, _)) = (app::start().await, app::start().await);
    let kit = Kit::start(&format!(
        "  apps:
  - {{name: hello, uri: 'http://{address}', labels: {{env: dev}}}}
  - {{name: other, uri: 'http://{other}', labels: {{env: dev}}}}
"
    ))
    .await;
    let alice = kit.reached("hello").await;
    drop(kit.reached("other").await);
    let thief = Thief::new(&kit).await;

    nothing_of_its_own(&kit, &thief).await;
    no_guess(&kit, &thief, &alice).await;

    // The certificate of a client does not open anything at the agent: its key is the client's, and so is not this one.
    let theirs = CertificateChain::new(std::slice::from_ref(&alice.certificate), &thief.person.key);
    assert!(theirs.is_err(), "a certificate without its key");
    // Its own certificate is none of a user.
    assert!(thief.ask(&thief.person.chain(), &host("hello"), "/").await.is_none());

    // What it has seen, it can use (the documented limit): for that application, whatever name it asks for.
    let session = thief.fetch(&id_of(&alice)).await.unwrap();
    let own = own_certificate(&session);
    for to in [host("hello"), host("other"), other.to_string()] {
        let seen = text(thief.ask(&own, &to, "/").await.unwrap()).await;
        assert!(seen.contains(&format!("host: {address}")), "{to}: {seen}");
    }
    // The session's own certificate is no client's: at the public port it is led to the login page.
    assert_eq!(offered(&kit, Some(own.clone()), "").await, StatusCode::FOUND);

    after_a_lock(&kit, &thief, &alice, &own).await;
    after_the_logout(&kit, &thief, &alice, &own).await;
    kit.cluster.stop().await;
}

async fn nothing_of_its_own(kit: &Kit, thief: &Thief) {
    let client = &thief.client;
    for user in ["", "alice"] {
        let request = proto::ListAppSessionsRequest { user: user.to_owned(), ..Default::default() };
        denied("list", client.call::<ListAppSessions>(request).await);
        let request = proto::CreateAppSessionRequest {
            username: user.to_owned(),
            app_name: "hello".to_owned(),
            public_addr: host("hello"),
            cluster_name: CLUSTER.to_owned(),
            ..Default::default()
        };
        denied("create", client.call::<CreateAppSession>(request).await);
        let request = UserCertsRequest {
            username: user.to_owned(),
            tls_public_key: people::key().public().to_pem().into_bytes(),
            expires: Some(people::in_seconds(HOUR)),
            route_to_app: Some(proto::RouteToApp {
                name: "hello".to_owned(),
                cluster_name: CLUSTER.to_owned(),
                ..Default::default()
            }),
            ..UserCertsRequest::default()
        };
        denied("a certificate", client.call::<GenerateUserCerts>(request).await);
    }
    let request = proto::GenerateAppTokenRequest {
        username: "alice".into(),
        uri: "http://127.0.0.1".into(),
        ..Default::default()
    };
    denied("assertion by user", client.call::<GenerateAppToken>(request).await);
    let request = proto::DeleteUserAppSessionsRequest { username: "alice".into() };
    denied("end a user's", client.call::<DeleteUserAppSessions>(request).await);
    denied("end all", client.call::<DeleteAllAppSessions>(()).await);
    assert!(kit.events("tessera.access.denied").await.len() < 50, "denials are merged");
}

async fn no_guess(kit: &Kit, thief: &Thief, alice: &Person) {
    let id = id_of(alice);
    let start = &kit.events("app.session.start").await[0];
    let shown = start["sid"].as_str().unwrap().to_owned();
    let chunk = until("a stretch of requests is told", async || {
        kit.events("app.session.chunk").await.first().map(|event| event["sid"].as_str().unwrap().to_owned())
    });
    let written = serde_json::to_string(&kit.events("app.session.start").await).unwrap();
    assert!(!written.contains(&id), "the id stands in the audit log");
    let guesses = [
        String::new(),
        shown.clone(),
        chunk.await,
        hash::sha256_hex(id.as_bytes()),
        id[..id.len() - 1].to_owned(),
        id.to_uppercase(),
        "0".repeat(64),
    ];
    for guess in guesses {
        let error = thief.fetch(&guess).await.err().unwrap_or_else(|| panic!("{guess:?} is good for something"));
        assert_eq!(error.kind, Kind::NotFound, "{guess}");
        let request = proto::GetAppSessionRequest { session_id: guess.clone() };
        assert_eq!(thief.client.call::<GetAppSession>(request).await.unwrap_err().kind, Kind::NotFound);
        let request = proto::DeleteAppSessionRequest { session_id: guess };
        assert_eq!(thief.client.call::<DeleteAppSession>(request).await.unwrap_err().kind, Kind::NotFound);
    }
    let request = AppAssertionRequest { session_id: id.clone(), app_name: "hello".to_owned() };
    denied("assertion", thief.client.call::<Assertion>(request).await);

    // A certificate's session is none of a cookie, whatever is put beside it; nor is a cookie's without its token.
    let request = proto::CreateAppSessionRequest {
        username: "alice".into(),
        app_name: "hello".into(),
        public_addr: host("hello"),
        cluster_name: CLUSTER.into(),
        ..Default::default()
    };
    let cookie = kit.client.call::<CreateAppSession>(request).await.unwrap().session.unwrap();
    let (of_cookie, bearer) = (cookie.metadata.unwrap().name, cookie.spec.unwrap().bearer_token);
    let pair =
        |id: &str, subject: &str| format!("__Host-grv_app_session={id}; __Host-grv_app_session_subject={subject}");
    for cookies in [
        pair(&id, ""),
        pair(&id, &shown),
        pair(&id, &bearer),
        pair(&id, &hash::sha256_hex(alice.certificate.spki_der())),
        pair(&of_cookie, ""),
        pair(&of_cookie, &id),
        pair(&shown, &bearer),
        format!("__Host-grv_app_session={of_cookie}"),
    ] {
        assert_eq!(offered(kit, None, &cookies).await, StatusCode::FOUND, "{cookies}");
    }
    // The thief's own certificate beside them changes nothing.
    assert_eq!(offered(kit, Some(thief.person.chain()), &pair(&id, &bearer)).await, StatusCode::FOUND);
    // The session of a cookie is none of its certificate either: it can be fetched by who has seen the cookie, and then
    // shown to the agent, but not to the public port.
    let session = thief.fetch(&of_cookie).await.unwrap();
    assert_eq!(offered(kit, Some(own_certificate(&session)), "").await, StatusCode::FOUND);
}

async fn after_a_lock(kit: &Kit, thief: &Thief, alice: &Person, own: &CertificateChain) {
    let mut running = thief.ask(own, &host("hello"), "/events").await.unwrap().into_body();
    assert!(running.frame().await.unwrap().is_ok());
    people::lock(&kit.admin, "stop", json!({"user": "alice"})).await;
    let late = end_of(running).await;
    assert!(late < Duration::from_secs(3), "a running connection ended {late:?} after the lock");
    assert_eq!(thief.fetch(&id_of(alice)).await.unwrap_err().kind, Kind::NotFound);
    let answer = thief.ask(own, &host("hello"), "/").await.unwrap();
    assert_ne!(answer.status(), StatusCode::OK);
    let unlocked = proto::DeleteLockRequest { name: "stop".to_owned() };
    kit.admin.call::<api::methods::proto::auth_service::DeleteLock>(unlocked).await.unwrap();
    until("the lock is gone", async || {
        (thief.ask(own, &host("hello"), "/").await?.status() == StatusCode::OK).then_some(())
    })
    .await;
}

async fn after_the_logout(kit: &Kit, thief: &Thief, alice: &Person, own: &CertificateChain) {
    let mut running = thief.ask(own, &host("hello"), "/events").await.unwrap().into_body();
    assert!(running.frame().await.unwrap().is_ok());
    let request = proto::DeleteAppSessionRequest { session_id: id_of(alice) };
    kit.client.call::<DeleteAppSession>(request).await.unwrap();
    assert_eq!(thief.fetch(&id_of(alice)).await.unwrap_err().kind, Kind::NotFound);
    let late = end_of(running).await;
    assert!(late < Duration::from_secs(8), "a running connection ended {late:?} after the logout");
    let answer = thief.ask(own, &host("hello"), "/").await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
