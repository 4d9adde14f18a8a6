//! The only source of time and of sleeping; a manual clock tells a test when everything is parked.
//!
//! This is the one crate that may ask the machine for the time or put a task to sleep; everybody else is handed a
//! [`Clock`]. It knows nothing of the product.

mod manual;
mod system;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use jiff::Timestamp;

pub use crate::manual::ManualClock;

/// Where the time comes from and what a task sleeps on. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<manual::Shared>),
}

/// The future given to [`Clock::timeout`] did not finish in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system::now(),
            Source::Manual(shared) => shared.now(),
        }
    }

    /// Time since the machine started, suspended time included (`CLOCK_BOOTTIME`). Steps of the wall clock do not
    /// move it, so the difference of the two shows them.
    pub fn boot(&self) -> Duration {
        match &self.0 {
            Source::System => system::boot(),
            Source::Manual(shared) => shared.elapsed(),
        }
    }

    /// A clock that never goes back, for measuring spans. Its zero means nothing.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System => system::monotonic(),
            Source::Manual(shared) => shared.elapsed(),
        }
    }

    /// Sleeps for a span, whatever the wall clock does meanwhile.
    pub async fn sleep(&self, span: Duration) {
        match &self.0 {
            Source::System => system::sleep(span).await,
            Source::Manual(shared) => shared.sleep(span).await,
        }
    }

    /// Sleeps until the wall clock shows `instant`; follows steps of the wall clock within [`STEP_NOTICED_WITHIN`].
    pub async fn sleep_until(&self, instant: Timestamp) {
        match &self.0 {
            Source::System => system::sleep_until(instant).await,
            Source::Manual(shared) => shared.sleep_until(instant).await,
        }
    }

    /// Runs `future`, but no longer than `span`; a future that is done when the time is up counts as done.
    ///
    /// # Errors
    /// [`Elapsed`] when the span is over first; the future is dropped.
    pub async fn timeout<F: Future>(&self, span: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(span) => Err(Elapsed(())),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System => "Clock(system)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// How late [`Clock::sleep_until`] may notice that somebody set the wall clock, or that the machine was suspended.
pub const STEP_NOTICED_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
