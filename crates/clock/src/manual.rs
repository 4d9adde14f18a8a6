//! A clock that stands still until a test moves it, and that knows who sleeps on it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use crate::{Clock, Source};

/// How long a test waits for what others are to do, by the machine's clock.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two steps of a clock that a test lets pass: whoever was woken goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// The test's end of a manual clock.
#[derive(Clone)]
pub struct ManualClock(Arc<Shared>);

impl ManualClock {
    /// A clock that shows `start` until it is moved.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State { now: start, elapsed: Duration::ZERO, next_id: 0, sleepers: BTreeMap::new() }),
            parked: watch::Sender::new(0),
        }))
    }

    /// The clock to hand out.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Lets time pass: wall time, boot time and monotonic time move together. Everybody whose sleep ends within the
    /// span wakes, once: a loop that sleeps again does so from the new time.
    pub fn advance(&self, span: Duration) {
        let mut state = self.0.lock();
        state.elapsed = state.elapsed.saturating_add(span);
        state.now = state.now.checked_add(span).unwrap_or(Timestamp::MAX);
        self.0.wake_due(&mut state);
    }

    /// Sets the wall clock, back or forth, as an administrator or NTP would: boot and monotonic time do not move, and
    /// only sleepers that wait for a wall time ([`Clock::sleep_until`]) wake.
    pub fn set(&self, now: Timestamp) {
        let mut state = self.0.lock();
        state.now = now;
        self.0.wake_due(&mut state);
    }

    /// Waits until at least `n` tasks sleep on this clock. A sleeper that was just woken no longer counts, so a test
    /// may alternate `advance` and `parked` without a race, if nobody else sleeps on it meanwhile.
    ///
    /// # Panics
    /// After a minute of the machine's time.
    pub async fn parked(&self, n: usize) {
        let mut parked = self.0.parked.subscribe();
        let asleep = Clock::system().timeout(PATIENCE, parked.wait_for(|sleepers| *sleepers >= n)).await;
        // The sender lives in `self`, so waiting cannot end with an error.
        assert!(asleep.is_ok(), "fewer than {n} sleep on this clock after {PATIENCE:?}");
    }

    /// Lets time pass, `step` by `step`, until `future` is done: for a test that does not know who else sleeps on this
    /// clock, or how often.
    ///
    /// # Panics
    /// After a minute of the machine's time.
    pub async fn pass_until<F: Future>(&self, step: Duration, future: F) -> F::Output {
        let mut future = pin!(future);
        let system = Clock::system();
        let began = system.monotonic();
        loop {
            if let Ok(output) = system.timeout(PAUSE, future.as_mut()).await {
                return output;
            }
            assert!(system.monotonic() - began < PATIENCE, "not done after {PATIENCE:?}, whatever this clock showed");
            self.advance(step);
        }
    }
}

pub(crate) struct Shared {
    state: Mutex<State>,
    parked: watch::Sender<usize>,
}

struct State {
    now: Timestamp,
    elapsed: Duration,
    next_id: u64,
    sleepers: BTreeMap<u64, Sleeper>,
}

struct Sleeper {
    end: End,
    wake: oneshot::Sender<()>,
}

#[derive(Clone, Copy)]
enum End {
    Elapsed(Duration),
    Wall(Timestamp),
}

impl State {
    fn is_over(&self, end: End) -> bool {
        match end {
            End::Elapsed(elapsed) => self.elapsed >= elapsed,
            End::Wall(instant) => self.now >= instant,
        }
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.lock().now
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    pub(crate) async fn sleep(&self, span: Duration) {
        let end = End::Elapsed(self.elapsed().saturating_add(span));
        self.park(end).await;
    }

    pub(crate) async fn sleep_until(&self, instant: Timestamp) {
        self.park(End::Wall(instant)).await;
    }

    async fn park(&self, end: End) {
        let (woken, _leave) = {
            let mut state = self.lock();
            if state.is_over(end) {
                return;
            }
            let (wake, woken) = oneshot::channel();
            let id = state.next_id;
            state.next_id += 1;
            state.sleepers.insert(id, Sleeper { end, wake });
            self.parked.send_replace(state.sleepers.len());
            (woken, Leave { shared: self, id })
        };
        let _ = woken.await;
    }

    fn wake_due(&self, state: &mut State) {
        let due: Vec<u64> =
            state.sleepers.iter().filter(|(_, sleeper)| state.is_over(sleeper.end)).map(|(id, _)| *id).collect();
        for id in due {
            if let Some(sleeper) = state.sleepers.remove(&id) {
                let _ = sleeper.wake.send(());
            }
        }
        self.parked.send_replace(state.sleepers.len());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a sleeper off the list when its future is dropped before its time.
struct Leave<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.sleepers.remove(&self.id).is_some() {
            self.shared.parked.send_replace(state.sleepers.len());
        }
    }
}
