//! What a proxy remembers of sessions.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clock::{Clock, ManualClock};
use crypto::SecretString;
use domain::Error;
use futures_util::{FutureExt as _, future::join_all};

use super::world::world;
use crate::{Metrics, sessions::SessionCache};

#[tokio::test]
async fn sessions_are_kept_while_the_auth_service_is_away_and_forgotten_when_nobody_uses_them() {
    let world = world().await;
    let time = ManualClock::new(Clock::system().now());
    let cache = SessionCache::new(Arc::clone(&world.sessions) as _, time.clock(), Metrics::default());
    let names = ["left", "read", "used"];
    let key = |name: &str| crypto::hash::sha256(name.as_bytes());
    let get = async |name: &str| cache.get(&key(name), &SecretString::from(name)).await.map(drop);
    let known = || names.map(|name| cache.knows(&key(name)));
    // As many as make it look for those that nobody uses.
    let crowd = async |of: &str| {
        let get = &get;
        let asked = (0..3000).map(|count| format!("{of} {count}"));
        let asked: Vec<_> = asked.map(|name| async move { get(&name).await }).collect();
        assert!(join_all(asked).now_or_never().is_none());
    };
    for name in names {
        drop(world.session("alice", "grafana", name).await);
        get(name).await.unwrap();
        time.advance(Duration::from_secs(70));
    }
    get("read").await.unwrap();
    get("used").await.unwrap();
    *world.sessions.failure.lock().unwrap() = Some(Error::unavailable("away"));
    time.advance(Duration::from_secs(600));
    get("used").await.expect("what was last known is used");
    world.sessions.is_silent.store(true, Ordering::Relaxed);
    crowd("strangers").await;
    assert_eq!(known(), [false, true, true], "who was there before the outage is");
    time.advance(Duration::from_secs(3600));
    crowd("others").await;
    assert_eq!(known(), [false; 3], "they have ended");
}
