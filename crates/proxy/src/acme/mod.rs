//! Certificates of the public port from an ACME authority (RFC 8555).
//!
//! The account, the certificates and the answers to challenges lie with the auth service: one proxy orders, all of them
//! answer and use what came of it. Only names are ordered that are ours: the public addresses, and the applications
//! below them that there are. `order` speaks with the authority, `transport` carries that, `tls_alpn` and `http` answer
//! its challenges.

pub(crate) mod http;
mod order;
pub(crate) mod tls_alpn;
mod transport;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    r#gen::tessera::v1::{
        AcmeChallenge, ClaimPublicCertificateRequest, ClaimPublicCertificateResponse, GetAcmeChallengeRequest,
        ListPublicCertificatesRequest, PublicCertificate, StorePublicCertificateRequest,
    },
    methods::tessera::v1::public_certificates::{Claim, GetChallenge, List, Store},
};
use clock::Timestamp;
use crypto::{KeyPair, Secret, x509::Certificate};
use domain::{Error, error::Kind};
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::Proxy;

/// How often is looked whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often the auth service is asked what other proxies have got.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// The most names that are ordered for. Authorities give about fifty new ones a week to one domain.
const MOST_NAMES: usize = 200;

/// Names that are ordered for at a time: an order that leads nowhere takes minutes, and others need not wait for it.
const AT_ONCE: usize = 4;

/// How long an attempt may take: the claim ends with it, also when the proxy died.
const ATTEMPT: Duration = Duration::from_secs(5 * 60);

/// The wait after a first failure. Five failures an hour are the most that Let's Encrypt takes for a name.
const FIRST_WAIT: Duration = Duration::from_secs(15 * 60);

/// The longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How long the answer to a challenge, or that there is none, is kept: strangers can ask for it, too.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Where certificates are ordered.
#[derive(Clone)]
pub struct AcmeConfig {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Whom the authority writes to; may be empty.
    pub email: String,
    /// Whom we believe to be the authority.
    pub authorities: Vec<Certificate>,
    /// Proxies on the way out of this network.
    pub out: client::Proxies,
    /// Whether there is a plain port that the authority can ask (HTTP-01).
    pub has_http: bool,
}

impl std::fmt::Debug for AcmeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeConfig").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What a proxy knows of its orders.
#[derive(Default)]
pub(crate) struct Acme {
    state: Mutex<State>,
    /// Held while the account is looked for: of two orders that make one each, one is for nothing.
    account: tokio::sync::Mutex<()>,
    /// Held while what is stored is read and served: what was read first may not be served last.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// By name, from when to when the certificate that is served is good; none before it is known what there is.
    served: Option<HashMap<String, (Timestamp, Timestamp)>>,
    /// By name, before when nobody is to order it.
    wait_until: HashMap<String, Timestamp>,
    /// By name, the answer to its challenge, or none and since when.
    challenges: HashMap<String, (Option<AcmeChallenge>, Duration)>,
}

impl Acme {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets certificates, keeps them fresh, and takes over what other proxies got; never ends.
pub(crate) async fn run(proxy: &Proxy) {
    let Some(config) = &proxy.config.acme else { return std::future::pending().await };
    tokio::join!(follow(proxy), order(proxy, config));
}

/// Takes over what other proxies got; never ends.
async fn follow(proxy: &Proxy) {
    let clock = &proxy.ports.clock;
    let mut asked: Option<Duration> = None;
    loop {
        let has_work = !missing(proxy).is_empty();
        if has_work || asked.is_none_or(|at| clock.monotonic().saturating_sub(at) >= ASK_EVERY) {
            match take_over(proxy).await {
                Ok(()) => asked = Some(clock.monotonic()),
                Err(error) => tracing::warn!(%error, "the certificates of the public port cannot be read"),
            }
        }
        clock.sleep(LOOK_EVERY).await;
    }
}

/// Orders what is missing, some at a time; never ends.
async fn order(proxy: &Proxy, config: &AcmeConfig) {
    let (mut names, mut orders) = (BTreeSet::new(), FuturesUnordered::new());
    loop {
        for name in missing(proxy) {
            if names.len() < AT_ONCE && names.insert(name.clone()) {
                orders.push(async move {
                    attempt(proxy, config, &name).await;
                    name
                });
            }
        }
        let ended = async {
            while let Some(name) = orders.next().await {
                names.remove(&name);
            }
            std::future::pending::<()>().await;
        };
        let _ = proxy.ports.clock.timeout(LOOK_EVERY, ended).await;
    }
}

/// The names that are ours.
fn wanted(proxy: &Proxy) -> BTreeSet<String> {
    let hosts = proxy.config.public_addresses.iter().map(|address| address.host.as_str());
    let is_name = |host: &&str| host.contains('.') && host.parse::<IpAddr>().is_err();
    let own: BTreeSet<String> = hosts.filter(is_name).map(str::to_owned).collect();
    let below = proxy.app_names().into_iter();
    let below: Vec<String> =
        below.filter(|host| !own.contains(host)).take(MOST_NAMES.saturating_sub(own.len())).collect();
    own.into_iter().chain(below).collect()
}

/// The names of ours that need a certificate now.
fn missing(proxy: &Proxy) -> Vec<String> {
    let now = proxy.ports.clock.now();
    let state = proxy.acme.lock();
    let Some(served) = &state.served else { return Vec::new() };
    let is_due = |name: &String| {
        state.wait_until.get(name).is_none_or(|until| *until <= now)
            && served.get(name).is_none_or(|(begin, end)| renewal(name, *begin, *end) <= now)
    };
    wanted(proxy).into_iter().filter(is_due).collect()
}

/// When a certificate is renewed: with a third of its life left, and each name a little earlier than that by its own
/// measure, so that those that were got together are not renewed together.
fn renewal(name: &str, begin: Timestamp, end: Timestamp) -> Timestamp {
    let life = end.duration_since(begin).unsigned_abs();
    let spread = u32::from(crypto::hash::sha256(name.as_bytes())[0]);
    let before = life / 3 + life / 12 * spread / 256;
    end.saturating_sub(before).unwrap_or(begin)
}

/// Serves what is stored.
async fn take_over(proxy: &Proxy) -> Result<(), Error> {
    let _only_one = proxy.acme.reading.lock().await;
    let answer = proxy.client.load_full().call::<List>(ListPublicCertificatesRequest {}).await?;
    let mut found = BTreeMap::new();
    for PublicCertificate { name, chain, private_key } in answer.certificates {
        let key = KeyPair::from_pkcs8_der(Secret::new(private_key).expose());
        match (Certificate::many_from_pem(&chain), key) {
            (Ok(chain), Ok(key)) if !chain.is_empty() => drop(found.insert(name, (chain, key))),
            _ => tracing::warn!(name, "a stored certificate of the public port cannot be read"),
        }
    }
    let pairs: Vec<_> = found.values().map(|(chain, key)| (chain.clone(), key.clone())).collect();
    proxy.ports.web.set_issued(&pairs).map_err(|error| Error::internal(error.to_string()))?;
    let served = found.into_iter().map(|(name, (chain, _))| (name, (chain[0].not_before(), chain[0].not_after())));
    proxy.acme.lock().served = Some(served.collect());
    Ok(())
}

/// Orders one certificate, unless another proxy does, or it was tried in vain not long ago.
async fn attempt(proxy: &Proxy, config: &AcmeConfig, name: &str) {
    let (clock, random) = (&proxy.ports.clock, &proxy.ports.random);
    let (holder, until) = (random.hex(16), clock.monotonic() + ATTEMPT);
    let claimed = match claim(proxy, name, &holder, ATTEMPT, None).await {
        Ok(claimed) => claimed,
        Err(error) => {
            // Others are tried meanwhile.
            proxy.acme.lock().wait_until.insert(name.to_owned(), clock.now() + ASK_EVERY);
            return tracing::warn!(name, %error, "a certificate cannot be ordered now");
        }
    };
    if !claimed.granted {
        return wait(proxy, name, &claimed);
    }
    // Between our look and the claim another proxy may have got it.
    if take_over(proxy).await.is_ok() && !missing(proxy).iter().any(|still| still == name) {
        drop(claim(proxy, name, &holder, Duration::ZERO, Some(0)).await);
        return;
    }
    tracing::info!(name, directory = config.directory, "ordering a certificate of the public port");
    let challenge = order::challenge(config.has_http, claimed.failures);
    let issued = clock.timeout(ATTEMPT, Box::pin(order::issue(proxy, config, name, challenge))).await;
    let issued = issued.unwrap_or_else(|_| Err(Error::unavailable("the authority took too long")));
    let stored = match issued {
        Ok(certificate) => store(proxy, certificate, until).await,
        Err(error) => Err(error),
    };
    let (hold, failures) = match &stored {
        Ok(()) => (Duration::ZERO, 0),
        Err(_) => (wait_after(claimed.failures, random), claimed.failures.saturating_add(1)),
    };
    let kept = claim(proxy, name, &holder, hold, Some(failures)).await;
    match stored {
        Ok(()) => {
            tracing::info!(name, "the public port has a new certificate");
            if let Err(error) = take_over(proxy).await {
                tracing::warn!(%error, "the certificates of the public port cannot be read");
            }
        }
        Err(error) => {
            tracing::error!(
                name, %error, failures, next_in = ?hold,
                "no certificate was issued; the name must lead here, on port 443 (TLS-ALPN-01) or 80 (HTTP-01)"
            );
            match kept {
                Ok(kept) => wait(proxy, name, &kept),
                // Whoever forgets would try too often.
                Err(_) => drop(proxy.acme.lock().wait_until.insert(name.to_owned(), clock.now() + hold)),
            }
        }
    }
}

/// Stores what was issued. Until then it is nowhere but here, and another one would count towards the authority's limits:
/// an auth service that is away is waited for as long as the claim holds, which is until this moment.
pub(crate) async fn store(proxy: &Proxy, certificate: PublicCertificate, until: Duration) -> Result<(), Error> {
    let name = certificate.name.clone();
    let request = StorePublicCertificateRequest { certificate: Some(certificate) };
    loop {
        match proxy.client.load_full().repeat::<Store>(request.clone()).await {
            Err(error) if error.kind == Kind::Unavailable && proxy.ports.clock.monotonic() < until => {
                tracing::warn!(name, %error, "a certificate that was issued cannot be stored; trying again");
            }
            stored => return stored.map(drop),
        }
    }
}

/// Twice as long with each failure, and never at the same time as others.
fn wait_after(failures: u32, random: &crypto::Random) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
    let [fraction] = random.bytes::<1>();
    longest + longest / 4 * u32::from(fraction) / 256
}

fn wait(proxy: &Proxy, name: &str, claimed: &ClaimPublicCertificateResponse) {
    let until = claimed.until.and_then(|until| Timestamp::new(until.seconds, until.nanos).ok());
    let until = until.unwrap_or_else(|| proxy.ports.clock.now() + ATTEMPT);
    proxy.acme.lock().wait_until.insert(name.to_owned(), until);
}

async fn claim(
    proxy: &Proxy,
    name: &str,
    holder: &str,
    hold: Duration,
    failures: Option<u32>,
) -> Result<ClaimPublicCertificateResponse, Error> {
    let request = ClaimPublicCertificateRequest {
        name: name.to_owned(),
        holder: holder.to_owned(),
        seconds: u32::try_from(hold.as_secs()).unwrap_or(u32::MAX),
        failures: failures.unwrap_or_default(),
        set_failures: failures.is_some(),
    };
    proxy.client.load_full().call::<Claim>(request).await
}

/// The answer to the challenge of a name, ours or another proxy's; none for names that are not ours, and where nobody
/// has to prove anything.
pub(crate) async fn challenge_of(proxy: &Proxy, name: &str) -> Option<AcmeChallenge> {
    proxy.config.acme.as_ref()?;
    // Strangers name whatever they like; the auth service is asked for what may be ordered, and nothing else.
    if !wanted(proxy).contains(name) {
        return None;
    }
    let now = proxy.ports.clock.monotonic();
    let known = proxy.acme.lock().challenges.get(name).cloned();
    if let Some((known, _)) = known.filter(|(_, at)| now.saturating_sub(*at) < KEPT_FOR) {
        return known;
    }
    let request = GetAcmeChallengeRequest { name: name.to_owned() };
    let found = proxy.client.load_full().call::<GetChallenge>(request).await.ok();
    let mut state = proxy.acme.lock();
    if state.challenges.len() >= MOST_NAMES {
        state.challenges.clear();
    }
    state.challenges.insert(name.to_owned(), (found.clone(), now));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_its_last_third_or_a_little_before_and_not_with_all_the_others() {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let end = begin + Duration::from_secs(90 * 86400);
        let days: BTreeSet<u64> = (0..100)
            .map(|n| renewal(&format!("app{n}.proxy.example"), begin, end).duration_since(begin).unsigned_abs())
            .map(|after| after.as_secs() / 86400)
            .collect();
        assert!(days.iter().all(|day| (52..=60).contains(day)) && days.len() > 4, "{days:?}");
    }

    #[test]
    fn waits_grow_and_keep_within_what_an_authority_takes() {
        let random = crypto::Random::seeded(1);
        let waits: Vec<u64> = (0..12).map(|failures| wait_after(failures, &random).as_secs()).collect();
        assert!(waits[0] >= 15 * 60 && waits[0] <= 19 * 60, "{waits:?}");
        assert!(waits.windows(2).take(5).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 30 * 3600), "{waits:?}");
    }
}
