//! What browsers meet: which names ask them for a certificate, and what they ask before a page may use another site.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crypto::tls::{ClientOptions, Trust, client_config};
use domain::resources::{
    App, AppServer,
    app::{AppSpec, CorsPolicy},
    app_server::AppServerSpec,
};
use http::{
    Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, VARY,
    },
};
use rustls::{ClientConfig, SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use tokio::net::TcpStream;

use super::world::{AGENT, APP, PROXY, get, world};
use crate::router::{H2, HTTP_1_1, REVERSE_TUNNEL, TCP, TUNNEL};

#[tokio::test]
async fn a_preflight_is_answered_by_the_rules_of_the_application_without_a_session() {
    let world = world().await;
    let cors = CorsPolicy {
        allowed_origins: vec!["https://a.example".into()],
        allowed_methods: vec!["GET".into(), "PUT".into()],
        allowed_headers: vec!["X-A".into()],
        allow_credentials: true,
        max_age: 60,
        ..CorsPolicy::default()
    };
    let app = App::new("api", AppSpec { uri: "http://localhost:1".into(), cors: Some(cors), ..AppSpec::default() });
    let spec = AppServerSpec { host_id: AGENT.into(), app: Some(app), ..AppServerSpec::default() };
    world.proxy.view.put_server(&AppServer::new("api", spec));
    let preflight = async |app: &str, origin: &str| {
        let host = format!("{app}.{PROXY}");
        let mut request = get(&host, "/a?b");
        *request.method_mut() = Method::OPTIONS;
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", "PUT".parse().unwrap());
        world.http(&host, None).await.send_request(request).await.unwrap()
    };
    let answer = preflight("api", "https://a.example").await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    for (name, expect) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "https://a.example"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, PUT"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "X-A"),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (ACCESS_CONTROL_MAX_AGE, "60"),
        (VARY, "Origin"),
    ] {
        assert_eq!(answer.headers()[&name], expect, "{name}");
    }
    let mut bodies = Vec::new();
    for (app, origin) in
        [("api", "https://b.example"), ("grafana", "https://a.example"), ("nonsense", "https://a.example")]
    {
        let answer = preflight(app, origin).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{app} {origin}");
        assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{app} {origin}");
        bodies.push(super::world::text(answer).await);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "nobody learns what there is: {bodies:?}");
    let mut request = get(APP, "/");
    *request.method_mut() = Method::OPTIONS;
    let answer = world.http(APP, None).await.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND, "no preflight");
}

/// Has no certificate, and notes that one was wanted.
#[derive(Debug, Default)]
struct Noting(AtomicBool);

impl ResolvesClientCert for Noting {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_certificate_is_asked_for_only_where_one_is_of_use() {
    let world = world().await;
    for (name, alpn, expect) in [
        (PROXY, HTTP_1_1, false),
        (PROXY, H2, false),
        ("127.0.0.1", HTTP_1_1, false),
        (PROXY, REVERSE_TUNNEL, false),
        (APP, HTTP_1_1, true),
        (APP, H2, true),
        (APP, TCP, true),
        ("proxy.teleport.cluster.local", TUNNEL, true),
    ] {
        let trust = Trust::Roots(vec![world.hosts.certificate()]);
        let options = ClientOptions { trust, certificate: None, alpn: vec![alpn.to_vec()] };
        let noting = Arc::new(Noting::default());
        let mut config = ClientConfig::clone(&client_config(options, &clock::Clock::system()).unwrap());
        config.client_auth_cert_resolver = Arc::clone(&noting) as _;
        let tcp = TcpStream::connect(world.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(name.to_owned().try_into().unwrap(), tcp).await.unwrap();
        let what = String::from_utf8_lossy(alpn);
        assert_eq!(noting.0.load(Ordering::Relaxed), expect, "{name} {what}");
    }
}
