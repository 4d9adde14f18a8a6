use std::sync::atomic::{AtomicUsize, Ordering};

use clock::{ManualClock, Timestamp};

use super::*;

const GRACE: Duration = Duration::from_secs(10);

fn supervisor() -> (ManualClock, Supervisor) {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let supervisor = Supervisor::new(clock.clock());
    (clock, supervisor)
}

async fn until_stopped(stop: Stop) -> Result<(), String> {
    stop.requested().await;
    Ok(())
}

#[tokio::test]
async fn a_fatal_end_stops_everything_and_is_named() {
    for (policy_end, expected) in [
        (Some(Err("broken".to_owned())), TaskError::Failed { task: "bad".into(), reason: "broken".into() }),
        (Some(Ok(())), TaskError::Ended { task: "bad".into() }),
        (None, TaskError::Panicked { task: "bad".into(), reason: "oh".into() }),
    ] {
        let (_clock, supervisor) = supervisor();
        supervisor.spawn("good", Policy::Fatal, until_stopped);
        supervisor.spawn("bad", Policy::Fatal, move |_| {
            let end = policy_end.clone();
            async move { end.unwrap_or_else(|| panic!("oh")) }
        });
        let outcome = supervisor.run(GRACE).await;
        assert_eq!(outcome, Outcome { fatal: Some(expected), cut_off: vec![] });
    }
}

#[tokio::test]
async fn a_restarted_task_pauses_longer_each_time() {
    let (clock, supervisor) = supervisor();
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let restarts = Restarts { first: Duration::from_secs(1), longest: Duration::from_secs(3) };
    supervisor.spawn("flaky", Policy::Restart(restarts), move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), _>("no") }
    });
    for (pause, expected) in [(1, 2), (2, 3), (3, 4), (3, 5)] {
        clock.parked(1).await;
        clock.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert_eq!(runs.load(Ordering::SeqCst), expected - 1);
        clock.advance(Duration::from_millis(1));
        while runs.load(Ordering::SeqCst) < expected {
            tokio::task::yield_now().await;
        }
    }
    supervisor.stop().soft();
    assert_eq!(supervisor.run(GRACE).await, Outcome::default());
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_off_and_named() {
    let (clock, supervisor) = supervisor();
    supervisor.spawn("stuck", Policy::Fatal, |_| std::future::pending::<Result<(), String>>());
    supervisor.spawn("good", Policy::Fatal, until_stopped);
    supervisor.stop().soft();
    let (outcome, ()) = tokio::join!(supervisor.run(GRACE), async {
        clock.parked(1).await;
        clock.advance(GRACE);
    });
    assert_eq!(outcome, Outcome { fatal: None, cut_off: vec!["stuck".into()] });
}

#[tokio::test]
async fn a_hard_stop_does_not_wait() {
    let (_clock, supervisor) = supervisor();
    supervisor.spawn_once("connection", std::future::pending());
    supervisor.stop().hard();
    assert_eq!(supervisor.run(GRACE).await.cut_off, ["connection"]);
}
