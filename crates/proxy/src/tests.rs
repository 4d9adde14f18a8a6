//! The whole path within one process: a client, the proxy, an agent behind its tunnel, and an application.

#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

mod acme;
mod applications;
mod browsers;
mod cookies;
mod ends;
mod front;
mod grpc;
mod hostile;
mod links;
mod liveness;
mod lost;
mod plain;
mod presence;
mod refusals;
mod scripts;
mod sessions;
mod ssh;
mod upgrades;
mod world;

use std::time::Duration;

/// Waits until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    clock::Clock::system().timeout(Duration::from_secs(60), waited).await.expect("not within a minute");
}
