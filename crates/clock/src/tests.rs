use std::time::Duration;

use tokio::task::JoinSet;

use crate::{Clock, ManualClock, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn sleepers_wake_when_their_time_comes_and_not_before() {
    let manual = ManualClock::new(start());
    let mut tasks = JoinSet::new();
    for minutes in [1, 3] {
        let clock = manual.clock();
        tasks.spawn(async move {
            clock.sleep(MINUTE * minutes).await;
            minutes
        });
    }
    manual.parked(2).await;
    manual.advance(MINUTE * 2);
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), 1);
    assert!(tasks.try_join_next().is_none());
    manual.parked(1).await;
    manual.advance(MINUTE);
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn setting_the_wall_clock_wakes_only_who_waits_for_a_wall_time() {
    let manual = ManualClock::new(start());
    let clock = manual.clock();
    let boot = clock.boot();
    let mut span = Box::pin(clock.sleep(MINUTE));
    let mut wall = Box::pin(clock.sleep_until(start() + MINUTE));
    tokio::select! { biased; () = &mut span => panic!("too early"), () = &mut wall => panic!("too early"), () = manual.parked(2) => {} }
    manual.set(start() + MINUTE * 2);
    tokio::select! { biased; () = &mut span => panic!("a step is not a span"), () = &mut wall => {} }
    assert_eq!(clock.boot(), boot);
    assert_eq!(clock.now(), start() + MINUTE * 2);
}

#[tokio::test]
async fn a_dropped_sleeper_no_longer_counts_and_a_timeout_fires() {
    let manual = ManualClock::new(start());
    let clock = manual.clock();
    assert_eq!(clock.timeout(MINUTE, async { 7 }).await, Ok(7));
    assert_eq!(*manual.clock().timeout(MINUTE, async { 7 }).await.as_ref().unwrap(), 7);
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { clock.timeout(MINUTE, std::future::pending::<()>()).await });
    manual.parked(1).await;
    manual.advance(MINUTE);
    assert!(waiting.join_next().await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn time_passes_until_all_sleeps_of_a_row_are_over() {
    let manual = ManualClock::new(start());
    let clock = manual.clock();
    let slept = manual.pass_until(MINUTE, async {
        for minutes in [1, 3] {
            clock.sleep(MINUTE * minutes).await;
        }
        clock.now()
    });
    assert_eq!(slept.await, start() + MINUTE * 4);
}

#[tokio::test]
async fn the_system_clock_moves_forward() {
    let clock = Clock::system();
    let before = (clock.monotonic(), clock.boot(), clock.now());
    clock.sleep(Duration::from_millis(2)).await;
    clock.sleep_until(before.2 + Duration::from_millis(5)).await;
    assert!(clock.monotonic() > before.0 && clock.boot() > before.1 && clock.now() > before.2);
    clock.sleep_until(before.2).await;
}
