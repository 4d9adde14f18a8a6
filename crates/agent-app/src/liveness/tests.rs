use std::sync::{Mutex, atomic::AtomicUsize};

use async_trait::async_trait;
use clock::{ManualClock, Timestamp};
use tokio::{sync::Semaphore, task::JoinSet};

use super::*;

/// Says `true` to as many questions as there are answers, and to the others nothing at all, unless it fails.
struct Auth {
    asked: AtomicUsize,
    answers: Semaphore,
    fails: Mutex<Option<Error>>,
    until: Timestamp,
}

#[async_trait]
impl Sessions for Auth {
    async fn live(&self, _: &str) -> Result<Option<Live>, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        self.answers.acquire().await.unwrap().forget();
        Ok(Some(Live { not_after: self.until, target_port: 0 }))
    }
}

struct World {
    manual: ManualClock,
    auth: Arc<Auth>,
    metrics: Metrics,
    liveness: Arc<Liveness>,
}

impl World {
    fn new() -> Self {
        let manual = ManualClock::new(Clock::system().now());
        let until = manual.clock().now() + Duration::from_secs(3600);
        let (asked, answers, fails) = (AtomicUsize::new(0), Semaphore::new(0), Mutex::default());
        let auth = Arc::new(Auth { asked, answers, fails, until });
        let metrics = Metrics::default();
        let liveness = Arc::new(Liveness::new(auth.clone(), manual.clock(), metrics.clone()));
        Self { manual, auth, metrics, liveness }
    }

    fn asked(&self) -> usize {
        self.auth.asked.load(Ordering::Relaxed)
    }

    async fn check(&self, mode: LockingMode) -> Result<Live, Refusal> {
        self.liveness.check("one", &self.liveness.slot("one"), mode).await.map(|(live, _)| live)
    }

    /// Four requests of the session at once, while so much time goes by.
    async fn four(&self, mode: LockingMode, passes: Duration) -> Vec<Result<Live, Refusal>> {
        let mut requests = JoinSet::new();
        for _ in 0..4 {
            let liveness = Arc::clone(&self.liveness);
            requests
                .spawn(async move { liveness.check("one", &liveness.slot("one"), mode).await.map(|(live, _)| live) });
        }
        self.manual.parked(1).await;
        self.manual.advance(passes);
        // By the clock of the machine: one that waits for a second question waits for ever.
        Clock::system().timeout(Duration::from_secs(5), requests.join_all()).await.expect("the queue asks one by one")
    }
}

#[tokio::test]
async fn a_silent_auth_service_is_asked_once_and_holds_nobody_up() {
    let world = World::new();
    world.auth.answers.add_permits(1);
    world.check(LockingMode::BestEffort).await.unwrap();
    world.manual.advance(KEPT_FOR);
    let answers = world.four(LockingMode::BestEffort, PATIENCE).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.asked(), 2, "the first answer, and one question for all four");
    world.manual.advance(KEPT_FOR - Duration::from_millis(1));
    world.check(LockingMode::BestEffort).await.unwrap();
    assert_eq!(world.asked(), 2, "it is let be");
    assert_eq!(world.metrics.stale_decisions.get(), 5, "each that went by the old word");
    world.auth.answers.add_permits(1);
    world.manual.advance(Duration::from_millis(1));
    world.check(LockingMode::BestEffort).await.unwrap();
    assert_eq!(world.asked(), 3, "and then asked again");
    assert_eq!(world.metrics.stale_decisions.get(), 5);
}

#[tokio::test]
async fn an_auth_service_that_fails_has_said_nothing_of_the_session() {
    for (error, mode, goes_on) in [
        (Error::internal("the disk failed"), LockingMode::BestEffort, true),
        (Error::limit("too many requests"), LockingMode::BestEffort, true),
        (Error::internal("the disk failed"), LockingMode::Strict, false),
        (Error::denied("no agent"), LockingMode::BestEffort, false),
    ] {
        let world = World::new();
        world.auth.answers.add_permits(1);
        world.check(mode).await.unwrap();
        world.manual.advance(KEPT_FOR);
        *world.auth.fails.lock().unwrap() = Some(error);
        let first = world.check(mode).await;
        assert_eq!(first.is_ok(), goes_on, "{first:?}");
        assert_eq!(world.metrics.stale_decisions.get(), u64::from(goes_on));
    }
}

#[tokio::test]
async fn without_a_word_to_go_by_all_are_refused_together() {
    for known in [false, true] {
        let world = World::new();
        if known {
            world.auth.answers.add_permits(1);
            world.check(LockingMode::Strict).await.unwrap();
            world.manual.advance(KEPT_FOR);
        }
        let answers = world.four(LockingMode::Strict, FIRST_PATIENCE).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Refusal::Unavailable(_)))), "{answers:?}");
        assert_eq!(world.asked(), 1 + usize::from(known));
    }
}

#[tokio::test]
async fn an_answer_from_before_a_doubt_is_not_believed() {
    let world = World::new();
    let asking = world.check(LockingMode::BestEffort);
    tokio::pin!(asking);
    assert!(futures_util::poll!(asking.as_mut()).is_pending(), "the question is on its way");
    world.liveness.doubt();
    world.auth.answers.add_permits(2);
    asking.await.unwrap();
    world.check(LockingMode::BestEffort).await.unwrap();
    assert_eq!(world.asked(), 2);
    world.check(LockingMode::BestEffort).await.unwrap();
    assert_eq!(world.asked(), 2, "nothing happened since");
}
