//! Who is let in, and how fast somebody who was let in is out again: certificates in the handshake, and locks, roles,
//! expiry and trust on connections that stand.

use std::{sync::Arc, time::Duration};

use api::{
    r#gen::proto,
    methods::{Method, proto::auth_service as calls},
};
use client::{Client, Watch, WatchKind};
use clock::Clock;
use domain::error::Kind as ErrorKind;
use rustls::{
    client::ResolvesClientCert,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use serde_json::json;
use testkit::{Cluster, Options};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    people::{self, Person},
    raw::{self, Raw, code},
};

/// How soon after its commit a change must have reached every connection.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Who may read roles, and watch them.
fn reader() -> serde_json::Value {
    json!({"allow": {"rules": [{"resources": ["role"], "verbs": ["list", "read"]}]}})
}

/// A connection with a watch on it, both of which work.
struct Live {
    client: Client,
    watch: Watch,
}

impl Live {
    async fn of(cluster: &Cluster, person: &Person) -> Self {
        let client = cluster.client(person.credentials()).await;
        client.call::<calls::ListRoles>(proto::ListRolesRequest::default()).await.unwrap();
        let watch = client.watch(vec![WatchKind::all("role")]).await.unwrap();
        Self { client, watch }
    }

    /// How long until both are refused; both must be, with the same word.
    async fn until_denied(mut self) -> Duration {
        let since = Instant::now();
        let ended = timeout(Duration::from_secs(10), async {
            loop {
                if let Err(error) = self.watch.next().await {
                    return error;
                }
            }
        });
        let error = ended.await.expect("the watch goes on");
        assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
        loop {
            match self.client.call::<calls::ListRoles>(proto::ListRolesRequest::default()).await {
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
                    return since.elapsed();
                }
                Ok(_) => assert!(since.elapsed() < Duration::from_secs(10), "calls go on"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_roles_users_and_expiry_act_on_live_connections() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    for name in ["locked-role", "changed-role", "reader"] {
        people::role(&admin, name, reader()).await;
    }
    let by_user = Live::of(&cluster, &people::user(&admin, "locked", &["reader"], 600).await).await;
    let by_role = Live::of(&cluster, &people::user(&admin, "role-locked", &["locked-role"], 600).await).await;
    let changed = Live::of(&cluster, &people::user(&admin, "demoted", &["changed-role"], 600).await).await;
    let deleted = Live::of(&cluster, &people::user(&admin, "deleted", &["reader"], 600).await).await;
    let untouched = Live::of(&cluster, &people::user(&admin, "untouched", &["reader"], 600).await).await;

    people::lock(&admin, "user", json!({"user": "locked"})).await;
    let took = by_user.until_denied().await;
    assert!(took < AT_ONCE, "a lock on a user took {took:?}");

    people::lock(&admin, "role", json!({"role": "locked-role"})).await;
    let took = by_role.until_denied().await;
    assert!(took < AT_ONCE, "a lock on a role took {took:?}");

    people::role(&admin, "changed-role", json!({})).await;
    let took = changed.until_denied().await;
    assert!(took < AT_ONCE, "a role's change took {took:?}");

    let request = api::r#gen::teleport::users::v1::DeleteUserRequest { name: "deleted".into() };
    admin.call::<api::methods::teleport::users::v1::users_service::DeleteUser>(request).await.unwrap();
    let took = deleted.until_denied().await;
    assert!(took < AT_ONCE, "the end of a user took {took:?}");

    // A bot's instance, on the connection that it keeps.
    people::bot(&admin, "machine", &["reader"]).await;
    people::bot_token(&admin, "join", "machine").await;
    let bot = people::join(&cluster, "join").await.unwrap();
    let connection = Raw::with(cluster.address(), bot.chain()).await;
    assert!(connection.call(calls::GetCurrentUserRoles::PATH, b"").await.is_success());
    let identity = domain::identity::Identity::from_subject(bot.certificate.subject()).unwrap();
    people::lock(&admin, "instance", json!({"bot_instance_id": identity.bot_instance_id})).await;
    let since = Instant::now();
    while !connection.call(calls::GetCurrentUserRoles::PATH, b"").await.is(code::PERMISSION_DENIED) {
        assert!(since.elapsed() < AT_ONCE, "a lock on an instance takes too long");
    }

    let short = people::certificate(&admin, "untouched", 6).await;
    let end = short.certificate.not_after();
    Live::of(&cluster, &short).await.until_denied().await;
    let late = Clock::system().now().duration_since(end).unsigned_abs();
    assert!(Clock::system().now() >= end && late < AT_ONCE, "expiry was noticed {late:?} late");

    // And a lock that goes lets its user in again, on a new connection and on an old one.
    admin.call::<calls::DeleteLock>(proto::DeleteLockRequest { name: "role".into() }).await.unwrap();
    let Live { client, .. } = untouched;
    client.call::<calls::ListRoles>(proto::ListRolesRequest::default()).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_no_longer_trusted_shuts_its_certificates_out() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    people::role(&admin, "reader", reader()).await;
    let person = people::user(&admin, "alice", &["reader"], 600).await;
    let live = Live::of(&cluster, &person).await;

    people::replace_user_authority(&cluster).await;
    let took = live.until_denied().await;
    assert!(took < AT_ONCE, "a new authority took {took:?}");

    // The handshake follows, and what the new authority signs is good.
    let since = Instant::now();
    while raw::refused(cluster.address(), raw::tls(Some(person.chain()))).await.is_none_or(|said| !said.is_empty()) {
        assert!(since.elapsed() < Duration::from_secs(5), "the handshake still takes the old authority's certificates");
    }
    Live::of(&cluster, &people::certificate(&admin, "alice", 600).await).await;
    cluster.stop().await;
}

/// Shows bytes for a certificate.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A configuration that shows `chain`, whatever it is, with `person`'s key.
fn showing(person: &Person, chain: Vec<Vec<u8>>) -> Arc<rustls::ClientConfig> {
    let der = person.key.to_pkcs8_der().unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.expose().clone()));
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let chain = chain.into_iter().map(Into::into).collect();
    let mut config = (*raw::tls(None)).clone();
    config.client_auth_cert_resolver = Arc::new(Shows(Arc::new(CertifiedKey::new(chain, signer))));
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_ours_ends_the_handshake() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    let person = people::user(&admin, "alice", &["access"], 600).await;
    let later = people::certificate(&admin, "alice", 1).await;
    let end = person.certificate.not_after();
    let forged = people::forged(&person, "test.example", end).await;
    let good = person.certificate.der().to_vec();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let host = cluster.server().auth().host_certificates().unwrap()[0].der().to_vec();
    // TLS counts in whole seconds.
    sleep(Duration::from_millis(2200)).await;
    let cases = [
        ("a foreign authority's of the same name", raw::tls(Some(forged.chain()))),
        ("a foreign one with ours behind it", showing(&person, vec![forged.certificate.der().to_vec(), good.clone()])),
        ("an expired one", raw::tls(Some(later.chain()))),
        ("one with a broken signature", showing(&person, vec![flipped])),
        ("one that is cut short", showing(&person, vec![good[..good.len() / 2].to_vec()])),
        ("one with more behind its end", showing(&person, vec![[good.clone(), vec![0]].concat()])),
        ("bytes", showing(&person, vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]])),
        ("an empty one", showing(&person, vec![Vec::new()])),
        ("one for another key", showing(&later, vec![good.clone()])),
        ("the authority's own", showing(&person, vec![host])),
    ];
    for (what, config) in cases {
        let said = raw::refused(cluster.address(), config).await;
        assert_eq!(said.as_deref(), Some(&b""[..]), "{what}");
    }
    // The counterpart: what they are held against does get in.
    let said = raw::refused(cluster.address(), showing(&person, vec![good])).await;
    assert_eq!(said, None);
    cluster.stop().await;
}

/// Watches never end by themselves, and who waited for them would never stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_ends_watches() {
    let proxy = "proxy_service: {web_listen_addr: '127.0.0.1:0', public_addr: 'proxy.localhost:0'}\n";
    // Beside a proxy, which is the last to leave the API's port, or a program elsewhere.
    for (services, is_elsewhere) in [("", true), (proxy, false), (proxy, true)] {
        let options = Options { auth_service: services.into(), ..Options::default() };
        let cluster = Cluster::start_with(options).await;
        cluster.server().readiness().ready().await;
        let admin = cluster.admin().await;
        people::role(&admin, "reader", reader()).await;
        let alice = people::user(&admin, "alice", &["reader"], 600).await;
        let live = if is_elsewhere { Some(Live::of(&cluster, &alice).await) } else { None };
        let local = admin.watch(vec![WatchKind::all("role")]).await.unwrap();
        cluster.server().supervisor().stop().soft();
        for mut watch in live.map(|live| live.watch).into_iter().chain([local]) {
            let ended = timeout(Duration::from_secs(10), async {
                loop {
                    if let Err(error) = watch.next().await {
                        return error;
                    }
                }
            });
            assert_eq!(ended.await.expect("the watch goes on").kind, ErrorKind::Unavailable);
        }
        drop(admin);
        let stopped = timeout(Duration::from_secs(10), async {
            while !cluster.server().supervisor().running().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        stopped.await.unwrap_or_else(|_| panic!("{:?} goes on", cluster.server().supervisor().running()));
    }
}
