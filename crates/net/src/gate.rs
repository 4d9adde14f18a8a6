//! A bounded number of places, handed out fairly per address.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::fair::{FairQueue, Source};

/// Hands out at most a fixed number of [`Pass`]es at a time. Cheap to clone; all clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: FairQueue<Source, oneshot::Sender<Pass>>,
}

/// A place behind the gate, given back when dropped.
#[derive(Debug)]
pub struct Pass(Option<Gate>);

/// The gate's queue is full and this one was the newest of the most crowded address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections are waiting")]
pub struct Crowded;

impl Gate {
    /// A gate with `places` places, before which at most `waiting` may wait.
    pub fn new(places: usize, waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places.max(1), waiting: FairQueue::new(waiting) })))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`Crowded`]: too many wait.
    pub async fn enter(&self, address: IpAddr) -> Result<Pass, Crowded> {
        let turn = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Pass(Some(self.clone())));
            }
            let (sender, turn) = oneshot::channel();
            // Those who gave up meanwhile must not cost anybody a place in the queue.
            if state.waiting.is_full() {
                state.waiting.retain(|waiter| !waiter.is_closed());
            }
            drop(state.waiting.push(address.into(), sender));
            turn
        };
        turn.await.map_err(|_| Crowded)
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a place on to whoever is next, or keeps it.
    fn give_back(self) {
        loop {
            let next = {
                let mut state = self.lock();
                match state.waiting.pop() {
                    Some(next) => next,
                    None => {
                        state.free += 1;
                        return;
                    }
                }
            };
            match next.send(Pass(Some(self.clone()))) {
                Ok(()) => return,
                // Gone meanwhile. Defused, so that its drop does not come back here.
                Err(mut unused) => unused.0 = None,
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.give_back();
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back() {
        let gate = Gate::new(1, 2);
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
        let gate = Gate::new(1, 1);
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
}
