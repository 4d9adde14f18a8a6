//! What proxies keep with the authority for the public port: theirs alone, sealed, and ordered by one of them at a time.

use std::time::Duration;

use auth::{
    Caller,
    joining::host::own_service,
    public_certificates::{
        Account, Challenge, Claimant, PublicCertificate, account, challenge, claim, list, store, store_account,
        store_challenge,
    },
};
use crypto::{Algorithm, KeyPair};
use domain::{Error, error::Kind, role::SystemRole};
use storage::{Backend as _, Prefix};

use crate::{
    harness::Cluster,
    hosts::{HOST, OTHER, host, names},
};

const NAME: &str = "proxy.example.com";
const DIRECTORY: &str = "https://acme.example/directory";

async fn certificate(cluster: &Cluster, name: &str) -> PublicCertificate {
    let key = KeyPair::generate(Algorithm::EcdsaP256).unwrap();
    let mut names = names(HOST);
    names.dns_names = vec![name.to_owned()];
    let issued = own_service(&cluster.auth, SystemRole::Proxy, names, key.public(), key.public()).await.unwrap();
    let chain = issued.tls.unwrap().to_pem();
    PublicCertificate { name: name.to_owned(), chain, private_key: key.to_pkcs8_der().unwrap() }
}

pub(crate) async fn keep_one(cluster: &Cluster, caller: &Caller) -> Result<(), Error> {
    store(&cluster.auth, caller, &certificate(cluster, NAME).await).await
}

pub(crate) async fn keep_account(cluster: &Cluster, caller: &Caller) -> Result<(), Error> {
    let private_key = certificate(cluster, NAME).await.private_key;
    let own = Account { directory: DIRECTORY.into(), id: "1".into(), private_key };
    store_account(&cluster.auth, caller, own).await.map(drop)
}

fn claimant(holder: &str, seconds: u64, failures: Option<u32>) -> Claimant {
    Claimant { name: NAME.into(), holder: holder.into(), hold: Duration::from_secs(seconds), failures }
}

#[tokio::test]
async fn what_one_proxy_got_every_proxy_has_and_nobody_else() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    let (one, other) = (host(&cluster, SystemRole::Proxy, HOST).await, host(&cluster, SystemRole::Proxy, OTHER).await);
    let agent = host(&cluster, SystemRole::App, "2d1e8f5c-0000-4000-8000-000000000007").await;
    let kept = certificate(&cluster, NAME).await;
    store(auth, &one, &kept).await.unwrap();
    let found = list(auth, &other).await.unwrap();
    assert_eq!((found.len(), &found[0].name, &found[0].chain), (1, &kept.name, &kept.chain));
    assert_eq!(found[0].private_key, kept.private_key);

    let own = || Account { directory: DIRECTORY.into(), id: "1".into(), private_key: kept.private_key.clone() };
    store_account(auth, &one, own()).await.unwrap();
    let second = Account { id: "2".into(), ..own() };
    assert_eq!(store_account(auth, &other, second).await.unwrap().id, "1", "the first one stays");
    assert_eq!(account(auth, &other, DIRECTORY).await.unwrap().private_key, kept.private_key);
    assert_eq!(account(auth, &other, "https://other.example/").await.unwrap_err().kind(), Kind::NotFound);

    let answer = Challenge { name: NAME.into(), token: "t".into(), key_authorization: "t.k".into() };
    store_challenge(auth, &one, &answer).await.unwrap();
    assert_eq!(challenge(auth, &other, NAME).await.unwrap(), answer);

    assert_eq!(list(auth, &agent).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(store(auth, &agent, &kept).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(account(auth, &agent, DIRECTORY).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(store_account(auth, &agent, own()).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(store_challenge(auth, &agent, &answer).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(claim(auth, &agent, claimant("a", 60, None)).await.unwrap_err().kind(), Kind::Denied);
    let events = cluster.events().await;
    for event in ["tessera.public_certificate.store", "tessera.acme_account.store"] {
        assert_eq!(events.iter().filter(|found| *found == event).count(), 1, "{event}: {events:?}");
    }
}

#[tokio::test]
async fn private_keys_of_the_public_port_are_at_rest_under_seal() {
    let cluster = Cluster::start().await;
    let proxy = host(&cluster, SystemRole::Proxy, HOST).await;
    let kept = certificate(&cluster, NAME).await;
    store(&cluster.auth, &proxy, &kept).await.unwrap();
    // The last bytes of PKCS#8 are the public key; the private one stands before it.
    let secret = &kept.private_key.expose()[36..68];
    let page = cluster.backend.range(&Prefix::kind("tessera_public_certificate"), None, 10).await.unwrap();
    let text = String::from_utf8_lossy(&page.items[0].value).into_owned();
    let stored: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sealed: Vec<u8> = serde_json::from_value(stored["key"]["sealed"].clone()).unwrap();
    assert!(!sealed.windows(32).any(|window| window == secret) && !text.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_certificate_that_is_not_its_names_or_its_keys_is_refused() {
    let cluster = Cluster::start().await;
    let proxy = host(&cluster, SystemRole::Proxy, HOST).await;
    let (good, other) = (certificate(&cluster, NAME).await, certificate(&cluster, "other.example.com").await);
    let of = |name: &str, chain: &str, key: &PublicCertificate| PublicCertificate {
        name: name.into(),
        chain: chain.into(),
        private_key: key.private_key.clone(),
    };
    for bad in [
        of(NAME, &other.chain, &other),
        of(NAME, &good.chain, &other),
        of(NAME, "", &good),
        of("..", &good.chain, &good),
    ] {
        assert_eq!(store(&cluster.auth, &proxy, &bad).await.unwrap_err().kind(), Kind::Invalid, "{bad:?}");
    }
}

#[tokio::test]
async fn one_proxy_orders_and_after_a_failure_nobody_does_for_a_while() {
    let cluster = Cluster::start().await;
    let auth = &*cluster.auth;
    let (one, other) = (host(&cluster, SystemRole::Proxy, HOST).await, host(&cluster, SystemRole::Proxy, OTHER).await);
    let first = claim(auth, &one, claimant("first", 300, None)).await.unwrap();
    assert!(first.granted && first.failures == 0);
    let second = claim(auth, &other, claimant("second", 300, None)).await.unwrap();
    assert_eq!((second.granted, second.until), (false, first.until));
    let failed = claim(auth, &one, claimant("first", 900, Some(1))).await.unwrap();
    assert!(failed.granted);
    // The same proxy after a restart is somebody else.
    cluster.clock.advance(Duration::from_secs(600));
    assert!(!claim(auth, &one, claimant("restarted", 300, None)).await.unwrap().granted);
    cluster.clock.advance(Duration::from_secs(301));
    let again = claim(auth, &other, claimant("third", 300, None)).await.unwrap();
    assert_eq!((again.granted, again.failures), (true, 1), "it is remembered how often it has failed");
    claim(auth, &other, claimant("third", 0, Some(0))).await.unwrap();
    let freed = claim(auth, &one, claimant("fourth", 300, None)).await.unwrap();
    assert_eq!((freed.granted, freed.failures), (true, 0));
}
