//! The identity of a host beside its authority, when the wall clock is not what it was.

use clock::ManualClock;

use super::*;
use crate::Issuer;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The authority in this process, by the clock of the test.
struct Here(Authority);

#[async_trait]
impl Issuer for Here {
    async fn issue(&self) -> Result<Identity, Error> {
        Ok(self.0.identity("App", "app.teleport.cluster.local").await)
    }
}

#[tokio::test]
async fn a_clock_that_is_set_or_was_paused_costs_a_host_beside_its_authority_a_minute() {
    let start = Clock::system().now() + DAY * 30;
    let manual = ManualClock::new(start);
    let issuer = Here(Authority { clock: manual.clock(), ..Authority::new().await });
    // Nobody answers there: what is not good any more could not be shown anyway.
    let config = Config { clock: manual.clock(), issuer: Some(Arc::new(issuer)), ..config("127.0.0.1:1", None) };
    let host = Host::obtain(config).await.unwrap();
    let is_good = |identity: &Identity| identity.tls().is_valid_at(manual.clock().now());
    let (stop, mut changed) = (Stop::new(), host.changed());
    let mut tasks = JoinSet::new();
    let (kept, end) = (host.clone(), stop.clone());
    tasks.spawn(async move { kept.keep(end).await });
    for set in [start - DAY * 20, start + DAY] {
        manual.set(set);
        assert!(!is_good(&host.identity()));
        manual.pass_until(Duration::from_secs(1), changed.changed()).await.unwrap();
        assert!(is_good(&host.identity()));
        let late = manual.clock().now().duration_since(set);
        assert!(late.as_secs() <= 90, "{late:?}");
    }
    stop.soft();
    drop(tasks);
}
