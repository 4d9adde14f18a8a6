//! A bounded number of places, handed out fairly per address.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clock::Clock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::fair::{FairQueue, Source};

/// How often somebody who waits looks whether a crowd must make room by now.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Hands out at most a fixed number of [`Pass`]es at a time. Cheap to clone; all clones are one gate.
///
/// One address could take all places and do nothing with them. So when somebody from an address with less than its share
/// waits, the oldest place of the most crowded address is asked back, once it has been held for the gate's patience.
/// Between equals nobody is asked: ten thousand bots behind one address wait for each other.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: usize,
    patience: Duration,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: FairQueue<Source, Waiter>,
    /// Who has places, the oldest of each address first.
    holders: HashMap<Source, VecDeque<Holder>>,
    taken: usize,
    next_id: u64,
}

#[derive(Debug)]
struct Waiter {
    source: Source,
    turn: oneshot::Sender<Pass>,
}

#[derive(Debug)]
struct Holder {
    id: u64,
    since: Duration,
    leave: CancellationToken,
}

/// A place behind the gate, given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Option<Gate>,
    source: Source,
    id: u64,
    leave: CancellationToken,
}

/// The gate's queue is full and this one was the newest of the most crowded address, or it had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections are waiting")]
pub struct Crowded;

impl Gate {
    /// A gate with `places` places, before which at most `waiting` may wait. A place may be asked back after `patience`.
    pub fn new(places: usize, waiting: usize, patience: Duration, clock: Clock) -> Self {
        let state = State { waiting: FairQueue::new(waiting), holders: HashMap::new(), taken: 0, next_id: 0 };
        Self(Arc::new(Inner { places: places.max(1), patience, clock, state: Mutex::new(state) }))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Crowded`]: too many wait.
    pub async fn enter(&self, address: IpAddr) -> Result<Pass, Crowded> {
        let source = Source::from(address);
        let turn = {
            let mut state = self.lock();
            if state.taken < self.0.places {
                return Ok(self.hand_out(&mut state, source));
            }
            let (sender, turn) = oneshot::channel();
            // Those who gave up meanwhile must not cost anybody a place in the queue.
            if state.waiting.is_full() {
                state.waiting.retain(|waiter| !waiter.turn.is_closed());
            }
            drop(state.waiting.push(source, Waiter { source, turn: sender }));
            turn
        };
        tokio::pin!(turn);
        loop {
            self.make_room(source);
            if let Ok(turn) = self.0.clock.timeout(LOOK_AGAIN, &mut turn).await {
                return turn.map_err(|_| Crowded);
            }
        }
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self, state: &mut State, source: Source) -> Pass {
        let (id, leave) = (state.next_id, CancellationToken::new());
        state.next_id += 1;
        state.taken += 1;
        let since = self.0.clock.monotonic();
        state.holders.entry(source).or_default().push_back(Holder { id, since, leave: leave.clone() });
        Pass { gate: Some(self.clone()), source, id, leave }
    }

    /// Asks one place of the greatest crowd back, if `source` has less than its share and that crowd has more.
    fn make_room(&self, source: Source) {
        let state = self.lock();
        let own = state.holders.get(&source).map_or(0, VecDeque::len);
        if state.taken < self.0.places || own > 0 && own >= self.0.places / state.holders.len().max(1) {
            return;
        }
        let Some(crowd) = state.holders.values().max_by_key(|held| held.len()) else { return };
        if crowd.len() <= own + 1 {
            return;
        }
        let now = self.0.clock.monotonic();
        if let Some(oldest) = crowd.iter().find(|holder| !holder.leave.is_cancelled())
            && now.saturating_sub(oldest.since) >= self.0.patience
        {
            oldest.leave.cancel();
        }
    }

    /// Passes a place on to whoever is next, or keeps it.
    fn give_back(&self, source: Source, id: u64) {
        let (mut source, mut id) = (source, id);
        loop {
            let (turn, pass) = {
                let mut state = self.lock();
                state.release(source, id);
                let Some(next) = state.waiting.pop() else { return };
                (next.turn, self.hand_out(&mut state, next.source))
            };
            let Err(mut unused) = turn.send(pass) else { return };
            // Gone meanwhile. Defused, so that its drop does not come back here.
            unused.gate = None;
            (source, id) = (unused.source, unused.id);
        }
    }
}

impl State {
    fn release(&mut self, source: Source, id: u64) {
        self.taken -= 1;
        if let Some(held) = self.holders.get_mut(&source) {
            held.retain(|holder| holder.id != id);
            if held.is_empty() {
                self.holders.remove(&source);
            }
        }
    }
}

impl Pass {
    /// Is cancelled when the place is asked back; its holder should end then.
    pub fn leave(&self) -> &CancellationToken {
        &self.leave
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.source, self.id);
        }
    }
}

/// A gate for each address that somebody comes from. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct AddressGate {
    places: usize,
    waiting: usize,
    clock: Clock,
    gates: Arc<Mutex<HashMap<Source, (Gate, usize)>>>,
}

/// A place behind an [`AddressGate`], given back when dropped.
#[derive(Debug)]
pub struct AddressPass {
    _pass: Pass,
    _visit: Visit,
}

/// Keeps an address's gate as long as somebody stands in or before it.
#[derive(Debug)]
struct Visit(AddressGate, Source);

impl AddressGate {
    /// At most `places` for each address, before which at most `waiting` of that address may wait.
    pub fn new(places: usize, waiting: usize, clock: Clock) -> Self {
        Self { places, waiting, clock, gates: Arc::default() }
    }

    /// Waits for a place. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Crowded`]: too many of this address wait.
    pub async fn enter(&self, address: IpAddr) -> Result<AddressPass, Crowded> {
        let source = Source::from(address);
        let gate = {
            let mut gates = self.lock();
            // Among those of one address nobody is asked to make room.
            let gate = || Gate::new(self.places, self.waiting, Duration::MAX, self.clock.clone());
            let (gate, visits) = gates.entry(source).or_insert_with(|| (gate(), 0));
            *visits += 1;
            gate.clone()
        };
        let visit = Visit(self.clone(), source);
        Ok(AddressPass { _pass: gate.enter(address).await?, _visit: visit })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, (Gate, usize)>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut gates = self.0.lock();
        if let Some((_, visits)) = gates.get_mut(&self.1) {
            *visits -= 1;
            if *visits == 0 {
                gates.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
mod tests {
    use clock::{ManualClock, Timestamp};

    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    const PATIENCE: Duration = Duration::from_secs(1);

    fn gate(places: usize, waiting: usize) -> (Gate, ManualClock) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        (Gate::new(places, waiting, PATIENCE, clock.clock()), clock)
    }

    #[tokio::test]
    async fn a_crowd_makes_room_for_others_and_not_for_itself() {
        let (gate, clock) = gate(4, 10);
        let mut crowd = Vec::new();
        for _ in 0..4 {
            crowd.push(gate.enter(address(1)).await.unwrap());
        }
        let asked = |crowd: &[Pass]| crowd.iter().filter(|pass| pass.leave().is_cancelled()).count();
        let enter = |last| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.enter(address(last)).await.unwrap() })
        };
        let own = enter(1);
        clock.parked(1).await;
        clock.advance(PATIENCE);
        clock.parked(1).await;
        assert_eq!(asked(&crowd), 0, "asked for one of their own");
        let other = enter(2);
        clock.parked(2).await;
        assert!(crowd[0].leave().is_cancelled() && asked(&crowd) == 1, "the oldest one, at once");
        // The place goes to the lane whose turn it is; then the next one is asked.
        drop(crowd.remove(0));
        let own = own.await.unwrap();
        assert!(!own.leave().is_cancelled());
        clock.parked(1).await;
        clock.advance(LOOK_AGAIN);
        clock.parked(1).await;
        assert!(crowd[0].leave().is_cancelled());
        drop(crowd.remove(0));
        let other = other.await.unwrap();
        // Three to one; a second place for the other address is less than its share, a third one is not.
        let second = enter(2);
        clock.parked(1).await;
        assert_eq!(asked(&crowd), 1);
        drop(crowd.remove(0));
        let second = second.await.unwrap();
        let third = enter(2);
        clock.parked(1).await;
        clock.advance(PATIENCE * 2);
        clock.parked(1).await;
        assert_eq!(asked(&crowd) + usize::from(own.leave().is_cancelled()), 0, "two and two is fair");
        drop((other, second));
        third.await.unwrap();
    }

    #[tokio::test]
    async fn a_young_place_is_not_asked_back() {
        let (gate, clock) = gate(2, 10);
        let crowd = [gate.enter(address(1)).await.unwrap(), gate.enter(address(1)).await.unwrap()];
        let other = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(address(2)).await.unwrap() }
        });
        clock.parked(1).await;
        assert!(!crowd[0].leave().is_cancelled());
        for _ in 0..4 {
            clock.advance(LOOK_AGAIN);
            clock.parked(1).await;
        }
        assert!(crowd[0].leave().is_cancelled() && !crowd[1].leave().is_cancelled());
        drop(crowd);
        other.await.unwrap();
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back() {
        let gate = gate(1, 2).0;
        let first = gate.enter(address(1)).await.unwrap();
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(address(1)).await }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let second = second.await.unwrap().unwrap();
        drop(second);
        assert!(gate.enter(address(1)).await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_frees_the_queue_and_loses_no_place() {
        let gate = gate(1, 1).0;
        let first = gate.enter(address(1)).await.unwrap();
        {
            let mut gone = Box::pin(gate.enter(address(2)));
            assert!(
                std::future::poll_fn(|context| std::task::Poll::Ready(gone.as_mut().poll(context).is_pending())).await
            );
        }
        drop(first);
        assert!(gate.enter(address(3)).await.is_ok());
    }

    #[tokio::test]
    async fn each_address_has_places_of_its_own_and_leaves_nothing_behind() {
        let gates = AddressGate::new(1, 2, ManualClock::new(Timestamp::UNIX_EPOCH).clock());
        let first = gates.enter(address(1)).await.unwrap();
        let other = gates.enter(address(2)).await.unwrap();
        let second = tokio::spawn({
            let gates = gates.clone();
            async move { gates.enter(address(1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "one address got two places");
        drop(first);
        drop(second.await.unwrap().unwrap());
        drop(other);
        assert!(gates.lock().is_empty());
    }
}
