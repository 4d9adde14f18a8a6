//! The machine's clocks: the only callers of what `clippy.toml` bans elsewhere.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::STEP_NOTICED_WITHIN;

#[allow(clippy::disallowed_methods, reason = "this crate is where the ban points to")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn boot() -> Duration {
    span(clock_gettime(ClockId::Boottime))
}

pub(crate) fn monotonic() -> Duration {
    span(clock_gettime(ClockId::Monotonic))
}

#[allow(clippy::disallowed_methods, reason = "this crate is where the ban points to")]
pub(crate) async fn sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

pub(crate) async fn sleep_until(instant: Timestamp) {
    loop {
        let left = instant.duration_since(now());
        let Ok(left) = Duration::try_from(left) else { return };
        if left.is_zero() {
            return;
        }
        sleep(left.min(STEP_NOTICED_WITHIN)).await;
    }
}

/// Neither clock is ever negative, so a value that does not fit is a broken kernel; zero is the harmless answer.
fn span(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
