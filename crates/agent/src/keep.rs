//! Renews a host's identity in time, and follows the authorities of the cluster.

use std::time::Duration;

use client::{Backoff, Client};
use clock::Timestamp;
use crypto::KeyPair;
use domain::Error;
use service::Stop;

use crate::{Host, Identity, exchange, identity::State};

/// How often the cluster's host authorities are looked at. A rotation gives hosts hours to learn of a new one.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// The same for a host whose issuer is in this process. Here the wall clock is what is looked at: it may be set, or stand
/// still with a machine that is paused, and the issuer heals what an authority elsewhere would refuse to.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(60);

/// The pauses after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

pub(crate) async fn run(host: &Host, stop: Stop) {
    let clock = &host.config().clock;
    let look_every = if host.config().issuer.is_some() { LOOK_AT_CLOCK_EVERY } else { LOOK_EVERY };
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let identity = host.identity();
        let pause = match step(host, &identity, is_due(host, &identity)).await {
            Ok(()) => {
                backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
                look_every
                    .min(until(clock.now(), renewal_time(host.identity().not_before(), host.identity().not_after())))
            }
            Err(error) => {
                tracing::warn!(%error, until = %identity.not_after(), "cannot keep the identity of this host fresh; trying again");
                backoff.wait(&host.config().random).min(look_every)
            }
        };
        tokio::select! {
            () = stop.requested() => return,
            () = clock.sleep(pause.max(Duration::from_secs(1))) => {}
        }
    }
}

/// An authority elsewhere has a clock of its own: what it issued is not valid yet for us only while ours is wrong.
fn is_due(host: &Host, identity: &Identity) -> bool {
    let now = host.config().clock.now();
    now >= renewal_time(identity.not_before(), identity.not_after())
        || (host.config().issuer.is_some() && now < identity.not_before())
}

async fn step(host: &Host, identity: &Identity, is_due: bool) -> Result<(), Error> {
    if is_due {
        let renewed = match &host.config().issuer {
            Some(issuer) => issuer.issue().await?,
            None => renew(host, &host.client().await?, identity).await?,
        };
        tracing::info!(until = %renewed.not_after(), "renewed the identity of this host");
        keep(host, renewed)?;
    }
    let identity = host.identity();
    let (tls, ssh) = exchange::authorities(&host.client().await?, identity.cluster()).await?;
    let known = identity.certificates();
    if known.tls_authorities.concat() != tls.concat() || known.ssh_authorities != ssh {
        let refreshed = identity.with_authorities(tls, ssh).map_err(|error| Error::unavailable(error.to_string()))?;
        keep(host, refreshed)?;
    }
    Ok(())
}

async fn renew(host: &Host, client: &Client, identity: &Identity) -> Result<Identity, Error> {
    let pending = host.directory().map(|directory| directory.load()).transpose()?.and_then(|state| state.pending);
    let key = match pending {
        Some(key) => key,
        None => {
            let algorithm = exchange::key_algorithm(client).await?;
            KeyPair::generate(algorithm).map_err(|error| Error::internal(error.to_string()))?
        }
    };
    if let Some(directory) = host.directory() {
        directory.save(&State { identity: Some(identity.clone()), pending: Some(key.clone()) })?;
    }
    let certificates = exchange::renew(host.config(), client, identity, &key).await?;
    Identity::new(key, certificates).map_err(|error| Error::unavailable(error.to_string()))
}

fn keep(host: &Host, identity: Identity) -> Result<(), Error> {
    if let Some(directory) = host.directory() {
        directory.save(&State { identity: Some(identity.clone()), pending: None })?;
    }
    host.replace(identity)
}

/// Half of the life: what is left outlasts a long outage of the auth service.
fn renewal_time(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let half = until(not_before, not_after) / 2;
    not_before.saturating_add(half).unwrap_or(not_after)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    then.duration_since(now).try_into().unwrap_or(Duration::ZERO)
}
