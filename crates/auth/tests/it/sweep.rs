//! What has expired is removed, but not by a clock that nobody believes yet.

use std::time::Duration;

use auth::audit_log::verify::verify;
use clock::Timestamp;
use storage::{Backend as _, Batch, Key};

use crate::harness::{Cluster, RETENTION};

const DAY: u64 = 24 * 3600;

/// Waits, with looks of the sweeper in between.
async fn pass(cluster: &Cluster, minutes: u64) {
    for _ in 0..minutes {
        cluster.clock.advance(Duration::from_secs(60));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    cluster.settle().await;
}

async fn again(cluster: Cluster) -> Cluster {
    let (backend, clock) = (std::sync::Arc::clone(&cluster.backend), cluster.clock.clone());
    drop(cluster);
    Cluster::over(backend, clock).await
}

/// What the chain writes each minute, whatever the clock says.
async fn checkpoint(cluster: &Cluster) {
    let time = Timestamp::from_millisecond(cluster.auth.clock().now().as_millisecond()).unwrap();
    let json = serde_json::json!({
        "cluster": "test.example", "time": time.to_string(), "heads": [], "public_key": "", "signature": "",
    });
    let batch = Batch::new().put(Key::new("audit_checkpoint", "latest"), json.to_string(), None);
    cluster.backend.batch(batch).await.unwrap();
}

#[tokio::test]
async fn a_restart_neither_shortens_nor_renews_the_doubt_about_a_clock() {
    let cluster = Cluster::start().await;
    let key = Key::new("tessera_test", "ends-in-a-month");
    let end = cluster.auth.clock().now().saturating_add(Duration::from_secs(30 * DAY)).unwrap();
    cluster.backend.batch(Batch::new().put(key, "x", Some(end))).await.unwrap();
    checkpoint(&cluster).await;
    pass(&cluster, 20).await;

    // Somebody sets the clock a year ahead, and the server starts, again and again.
    let ahead = cluster.auth.clock().now().saturating_add(Duration::from_secs(365 * DAY)).unwrap();
    cluster.clock.set(ahead);
    let mut cluster = again(cluster).await;
    for _ in 0..3 {
        pass(&cluster, 5).await;
        checkpoint(&cluster).await;
        cluster = again(cluster).await;
        pass(&cluster, 20).await;
        assert_eq!(cluster.backend.expired(10).await.unwrap().len(), 1, "a wrong clock has erased what was good");
    }
    // Nobody put it right for a day: then it is believed.
    pass(&cluster, 24 * 60 - 60).await;
    assert!(cluster.backend.expired(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_records_go_whole_and_what_is_left_can_be_proved() {
    let cluster = Cluster::start().await;
    let at_start = cluster.all_events().await.len();
    let mut chainer = cluster.chainer().await;
    chainer.checkpoint().await.unwrap();
    // A day at a time: a clock that runs on for weeks between two looks is doubted.
    let days = RETENTION.as_secs() / DAY;
    for day in 0..=days {
        let left = cluster.all_events().await.len();
        assert!(left >= at_start, "dropped on day {day}, {left} of {at_start} are left");
        cluster.clock.advance(Duration::from_secs(DAY));
        cluster.settle().await;
    }
    pass(&cluster, 61).await;
    assert_eq!(cluster.all_events().await, ["tessera.audit.retention"], "all are too old but the note of it");
    chainer.link(false).await.unwrap();
    chainer.checkpoint().await.unwrap();
    let report = verify(&cluster.auth, &cluster.admin(), b"").await.unwrap();
    assert!(report.is_intact && report.records == 1, "{report:?}");
}
