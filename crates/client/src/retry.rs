//! How long to wait before trying again.

use std::time::Duration;

use crypto::Random;

/// Exponential waits with jitter: each is between half of and the whole of the step, steps double up to `cap`.
///
/// The jitter spreads ten thousand clients that lost the same server at the same instant.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    step: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits that begin at `first` and never exceed `cap`.
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { step: first, cap }
    }

    /// The next wait.
    pub fn wait(&mut self, random: &Random) -> Duration {
        let step = self.step.min(self.cap);
        self.step = (step * 2).min(self.cap);
        jitter(step, random)
    }
}

/// Between half of and the whole of `span`.
fn jitter(span: Duration, random: &Random) -> Duration {
    let part = u32::from_le_bytes(random.bytes::<4>());
    span.mul_f64(0.5 + f64::from(part) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_keep_their_jitter() {
        let random = Random::seeded(7);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for step in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.wait(&random);
            assert!(wait >= Duration::from_secs(step) / 2 && wait <= Duration::from_secs(step), "{step}: {wait:?}");
        }
    }
}
