//! A disk that takes seconds for each commit: it is said, what needs no disk is prompt, nothing is lost, and bots that
//! behave stay in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    r#gen::{proto, tessera::v1::VerifyRequest, types::RegisterUsingTokenRequest},
    methods::{
        proto::{
            auth_service::{GenerateUserCerts, GetLocks, ListRoles, Ping},
            join_service::RegisterUsingToken,
        },
        tessera::v1::audit_service::Verify,
    },
};
use async_trait::async_trait;
use client::{Client, Credentials};
use clock::Clock;
use crypto::{KeyPair, Random};
use domain::{Error, error::Kind as ErrorKind, identity::Identity};
use testkit::{Cluster, DurableWrite, Options, Witness, Witnessed};
use tokio::time::{Instant, sleep};

use crate::support::people::{self, Person};

/// How long one commit takes: longer than the impatient callers below wait, and than what is called slow.
const COMMIT: u64 = 5000;

/// Each commit takes so many milliseconds more.
struct Slow(AtomicU64);

#[async_trait]
impl Witness for Slow {
    async fn before(&self, _: &DurableWrite) {
        sleep(Duration::from_millis(self.0.load(Ordering::Relaxed))).await;
    }

    async fn after(&self, _: &DurableWrite) {}
}

/// A client that gives up after a second.
async fn impatient(cluster: &Cluster, credentials: Credentials) -> Client {
    let authorities = cluster.server().auth().host_certificates().unwrap();
    let mut config =
        client::Config::new([cluster.address().to_string()], credentials, Clock::system(), Random::system());
    config.timeouts.call = Duration::from_secs(1);
    Client::connect(config.with_trust(client::Trust::Authorities(authorities))).await.unwrap()
}

async fn join(client: &Client, key: &KeyPair) -> Result<Person, Error> {
    let request =
        RegisterUsingTokenRequest { expires: Some(people::in_seconds(3600)), ..people::join_request("join", key) };
    client.call::<RegisterUsingToken>(request).await.map(|certs| Person::from_certs(key.clone(), &certs))
}

async fn renew(client: &Client, key: &KeyPair) -> Result<Person, Error> {
    let request = proto::UserCertsRequest {
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(people::in_seconds(3600)),
        ..Default::default()
    };
    client.call::<GenerateUserCerts>(request).await.map(|certs| Person::from_certs(key.clone(), &certs))
}

/// What a bot does: asks the same question again, as long as it gets no answer; three times in vain here.
async fn in_vain<F>(ask: impl Fn() -> F)
where
    F: Future<Output = Result<Person, Error>>,
{
    for _ in 0..3 {
        let error = ask().await.err().expect("the disk was not slow");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(error.message.contains("not answered within"), "{error:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

fn generation(bot: &Person) -> u64 {
    Identity::from_subject(bot.certificate.subject()).unwrap().generation
}

async fn until(cluster: &Cluster, ready: bool) -> String {
    let since = Instant::now();
    loop {
        let report = format!("{:?}", cluster.server().readiness().report());
        if cluster.server().readiness().is_ready() == ready {
            return report;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "readiness must become {ready}: {report}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_said_and_costs_no_bot_its_place() {
    let slow = Arc::new(Slow(AtomicU64::new(0)));
    let around_store = Some(Witnessed::around(Arc::clone(&slow) as Arc<dyn Witness>));
    let cluster = Cluster::start_with(Options { around_store, ..Options::default() }).await;
    let admin = cluster.admin().await;
    people::bot(&admin, "machine", &["access"]).await;
    people::bot_token(&admin, "join", "machine").await;

    slow.0.store(COMMIT, Ordering::Relaxed);
    let stranger = impatient(&cluster, Credentials::none()).await;
    let key = people::key();
    in_vain(|| join(&stranger, &key)).await;
    let report = until(&cluster, false).await;
    assert!(report.contains("the store is slow"), "{report}");

    // What needs no commit is as prompt as ever.
    let since = Instant::now();
    admin.call::<Ping>(proto::PingRequest {}).await.unwrap();
    admin.call::<ListRoles>(proto::ListRolesRequest::default()).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(4), "reading waits for the disk");

    slow.0.store(0, Ordering::Relaxed);
    until(&cluster, true).await;
    let bot = join(&stranger, &key).await.unwrap();

    slow.0.store(COMMIT, Ordering::Relaxed);
    let (key, client) = (people::key(), impatient(&cluster, bot.credentials()).await);
    in_vain(|| renew(&client, &key)).await;
    // A patient bot gets through while the disk is slow.
    let renewed = people::renew_with(&cluster, &bot, &key).await.unwrap();
    assert_eq!([generation(&bot), generation(&renewed)], [1, 2]);
    slow.0.store(0, Ordering::Relaxed);
    until(&cluster, true).await;
    let renewed = people::renew(&cluster, &renewed).await.unwrap();
    assert_eq!(generation(&renewed), 3);
    assert_eq!(people::join(&cluster, "join").await.err().map(|error| error.kind), Some(ErrorKind::Denied));
    let locks = admin.call::<GetLocks>(proto::GetLocksRequest::default()).await.unwrap().locks;
    assert!(locks.is_empty(), "{locks:?}");
    // Writes that nobody waits for any more come to their end, and let go of the store.
    sleep(Duration::from_millis(COMMIT)).await;
    let cluster = cluster.restart().await;
    people::renew(&cluster, &renewed).await.unwrap();
    let proof = cluster.admin().await.call::<Verify>(VerifyRequest::default()).await.unwrap();
    assert!(proof.intact, "{:?}", proof.complaints);
    cluster.stop().await;
}
