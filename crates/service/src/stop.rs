//! The two ways to be asked to stop.

use tokio_util::sync::CancellationToken;

/// Handed to every task. *Soft*: take nothing new, finish what is there. *Hard*: the task's future is dropped at its
/// next await, so a task need not watch for it, unless it owns something that must be told.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// A pair that nobody has pulled yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until work should come to an end (or is being cut off).
    pub async fn requested(&self) {
        self.soft.cancelled().await;
    }

    /// Whether work should come to an end.
    pub fn is_requested(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Waits until work is cut off.
    pub async fn forced(&self) {
        self.hard.cancelled().await;
    }

    /// Whether work is cut off.
    pub fn is_forced(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// The soft half as a token, for libraries that take one.
    pub fn token(&self) -> &CancellationToken {
        &self.soft
    }

    /// Asks for a soft stop.
    pub fn soft(&self) {
        self.soft.cancel();
    }

    /// Cuts everything off. Implies a soft stop, and comes first, so that nobody sees one without the other.
    pub fn hard(&self) {
        self.hard.cancel();
        self.soft.cancel();
    }
}
