//! Says at intervals, and when something changed, what is served here.

use std::{sync::Arc, time::Duration};

use client::Backoff;
use service::Stop;
use tokio::sync::watch;

use crate::{Host, Service};

/// How often, less up to a tenth of it. What was announced lives for several of these (see the services), so one that
/// is lost does no harm.
const EVERY: Duration = Duration::from_secs(60);

/// How long is waited after one announcement, whatever changes meanwhile: longer and longer while changes go on, so that a
/// label that is another one each second writes no more than twice a minute.
const REST: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// How long is waited when links to proxies come or go: others will follow.
const SETTLES: Duration = Duration::from_secs(1);

/// How long is waited after one that failed. What was announced may have ended in an outage, and is missed.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// How long an announcement that is under way may take when the host stops. Broken off, it might be carried out after it
/// was taken back, and stand until it ends by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How long taking it back may take: the host is stopping and others wait.
const WITHDRAW_WITHIN: Duration = Duration::from_secs(5);

/// Announces one service until `stop`, then takes it back.
pub(crate) async fn run(host: Host, service: Arc<dyn Service>, mut proxies: watch::Receiver<Vec<String>>, stop: Stop) {
    let (clock, random) = (&host.config().clock, &host.config().random);
    let mut changed = service.changed();
    let (mut rest, mut backoff) = (REST, BACKOFF);
    while !stop.is_requested() {
        let through = proxies.borrow_and_update().clone();
        changed.mark_unchanged();
        let announcing = async {
            // What no proxy leads to is not announced: it would only be found to be missing.
            if through.is_empty() { None } else { Some(service.announce(&through).await) }
        };
        let announced = tokio::select! {
            announced = announcing => announced,
            () = async { stop.requested().await; clock.sleep(ENDS_WITHIN).await } => break,
        };
        let waiting = async {
            match announced {
                None => {}
                Some(Err(error)) => {
                    tracing::warn!(service = service.name(), %error, "cannot announce what is served here; trying again");
                    return clock.sleep(backoff.wait(random)).await;
                }
                Some(Ok(())) => {
                    backoff = BACKOFF;
                    tokio::select! {
                        () = clock.sleep(rest.wait(random)) => {}
                        // Whoever asks at a proxy that is new to us finds nothing until it is said.
                        Ok(()) = proxies.changed() => return clock.sleep(SETTLES).await,
                    }
                }
            }
            tokio::select! {
                Ok(()) = proxies.changed() => {}
                Ok(()) = changed.changed() => {}
                () = clock.sleep(EVERY - EVERY.mul_f64(f64::from(random.below(100)) / 1000.0)) => rest = REST,
            }
        };
        tokio::select! {
            biased;
            () = stop.requested() => {}
            () = waiting => {}
        }
    }
    if clock.timeout(WITHDRAW_WITHIN, service.withdraw()).await.is_err() {
        tracing::warn!(service = service.name(), "could not take back what was announced; it ends by itself");
    }
}
