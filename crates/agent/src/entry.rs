//! Where links are made to: the configured proxies, or those that the auth service knows.

use std::time::Duration;

use api::{r#gen::tessera::v1::ListProxiesRequest, methods::tessera::v1::presence::ListProxies};
use client::Backoff;
use domain::Error;
use service::Stop;
use tokio::sync::watch;
use tunnel::agent::Entry;

use crate::Host;

/// How often an agent without any link asks where the proxies are by now. One with a link learns it from its proxies.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The waits while the auth service does not answer, or knows no proxy: an agent must be back soon after an outage.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Keeps `entry` at what is to be dialled, with which certificate, until `stop`.
pub(crate) async fn run(
    host: Host,
    entry: watch::Sender<Entry>,
    mut connected: watch::Receiver<Vec<String>>,
    stop: Stop,
) {
    let mut identity = host.changed();
    let discover = async {
        if !host.config().entry.is_empty() {
            return std::future::pending().await;
        }
        let (clock, random) = (&host.config().clock, &host.config().random);
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut is_again = false;
        loop {
            // The sender lives as long as the agent does.
            drop(connected.wait_for(Vec::is_empty).await);
            let pause = match proxies(&host).await {
                Ok(mut found) if !found.is_empty() => {
                    if is_again {
                        // What they call themselves leads nowhere from here; what we were told may be a proxy, too.
                        found.extend(host.config().auth_servers.iter().cloned());
                    }
                    is_again = true;
                    entry.send_if_modified(|entry| std::mem::replace(&mut entry.addresses, found.clone()) != found);
                    backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
                    ASK_AGAIN
                }
                Ok(_) => {
                    tracing::info!("the auth service knows no proxy yet; asking again");
                    backoff.wait(random)
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the auth service where the proxies are; trying again");
                    backoff.wait(random)
                }
            };
            clock.sleep(pause).await;
        }
    };
    let renewals = async {
        let mut shown = host.identity();
        while identity.changed().await.is_ok() {
            let now = host.identity();
            // Other authorities alone make no other connection.
            if now.tls() != shown.tls() {
                entry.send_modify(|entry| entry.generation += 1);
            }
            shown = now;
        }
    };
    tokio::select! {
        () = stop.requested() => {}
        () = discover => {}
        () = renewals => {}
    }
}

/// Where agents reach the proxies: each by an address of its own if it has one.
async fn proxies(host: &Host) -> Result<Vec<String>, Error> {
    let answer = host.client().await?.call::<ListProxies>(ListProxiesRequest {}).await?;
    let mut found: Vec<String> = Vec::new();
    for proxy in answer.proxies {
        let addresses = if proxy.tunnel_addrs.is_empty() { proxy.public_addrs } else { proxy.tunnel_addrs };
        found.extend(addresses.into_iter().next());
    }
    found.sort();
    found.dedup();
    Ok(found)
}
