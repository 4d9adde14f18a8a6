//! Keeps the view up to date.

use crate::Proxy;

/// Asks, and asks again.
pub(crate) async fn run(_proxy: &Proxy) {
    std::future::pending().await
}
