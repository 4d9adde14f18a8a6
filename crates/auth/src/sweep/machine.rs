//! Decides whether the wall clock can be believed enough to remove what it says has expired.
//!
//! Told the wall clock and the clock that counts since boot (which nobody can set, and which goes on in suspend): when the
//! two disagree between two looks, somebody set the wall clock. One bad clock must not erase a cluster.

use std::time::Duration;

use clock::Timestamp;

/// The wait after a start and after a step: an administrator, or NTP, has this long to put a wrong clock right.
const SETTLE: Duration = Duration::from_secs(15 * 60);

/// The difference between two clocks that counts as a step; drift between two looks is far below it.
const STEP: Duration = Duration::from_secs(60);

/// How far beyond the last time mark in the store the wall clock is believed at once.
const BELIEVED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The wait when it is further: a server that was off for weeks loses nothing by it, one with a clock a year ahead everything without it.
const DOUBTED: Duration = Duration::from_secs(24 * 3600);

/// What to do at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Remove what has expired.
    Sweep,
    /// Not now.
    Wait {
        /// What an operator should know; nothing for the ordinary wait after a start.
        reason: Option<String>,
    },
}

/// Remembers the last look.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The last wall time that was believed: a mark from the store, or a look.
    mark: Option<Timestamp>,
    last: Option<(Timestamp, Duration)>,
    /// Until when, on the clock since boot, nothing is removed, and why.
    waits_until: Duration,
    reason: Option<String>,
}

impl Machine {
    /// Before the first look; `mark` is the newest time in the store.
    pub(crate) const fn new(mark: Option<Timestamp>) -> Self {
        Self { mark, last: None, waits_until: Duration::ZERO, reason: None }
    }

    /// One look at both clocks.
    pub(crate) fn look(&mut self, wall: Timestamp, boot: Duration) -> Verdict {
        let step = self.last.map(|(last_wall, last_boot)| step(last_wall, last_boot, wall, boot));
        match step {
            None => self.wait(boot, SETTLE, None),
            Some(step) if step > STEP => {
                let reason =
                    format!("the clock was set by {} s; expired items are kept for 15 minutes", step.as_secs());
                self.wait(boot, SETTLE, Some(reason));
            }
            Some(_) => {}
        }
        if let Some(mark) = self.mark
            && wall.duration_since(mark).unsigned_abs() > BELIEVED
            && wall > mark
        {
            let reason = format!(
                "the clock is more than 7 days beyond the last record ({mark}); expired items are kept for 24 hours"
            );
            self.wait(boot, DOUBTED, Some(reason));
        }
        self.mark = Some(wall);
        self.last = Some((wall, boot));
        if boot < self.waits_until {
            return Verdict::Wait { reason: self.reason.clone() };
        }
        self.reason = None;
        Verdict::Sweep
    }

    /// Waits at least this long; never shortens a wait.
    fn wait(&mut self, boot: Duration, span: Duration, reason: Option<String>) {
        if boot + span >= self.waits_until {
            self.waits_until = boot + span;
            self.reason = reason;
        }
    }
}

/// By how much the wall clock moved more, or less, than time passed.
fn step(last_wall: Timestamp, last_boot: Duration, wall: Timestamp, boot: Duration) -> Duration {
    let moved = wall.duration_since(last_wall).as_nanos();
    let passed = i128::try_from(boot.saturating_sub(last_boot).as_nanos()).unwrap_or(i128::MAX);
    let difference = moved.saturating_sub(passed).unsigned_abs();
    Duration::from_nanos(u64::try_from(difference).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(START + seconds).expect("a valid time")
    }

    /// Looks: seconds of the wall clock, seconds since boot, and whether something is removed.
    fn follow(mark: Option<i64>, looks: &[(i64, u64, bool)]) {
        let mut machine = Machine::new(mark.map(at));
        for &(wall, boot, sweeps) in looks {
            let verdict = machine.look(at(wall), Duration::from_secs(boot));
            assert_eq!(verdict == Verdict::Sweep, sweeps, "at wall {wall}, boot {boot}: {verdict:?}");
        }
    }

    #[test]
    fn nothing_is_removed_in_the_first_quarter_of_an_hour() {
        follow(
            Some(0),
            &[(0, 1000, false), (60, 1060, false), (899, 1899, false), (900, 1900, true), (960, 1960, true)],
        );
    }

    #[test]
    fn a_step_in_either_direction_waits_again() {
        follow(
            None,
            &[
                (0, 0, false),
                (900, 900, true),
                (900 + 3660, 960, false),
                (900 + 4500, 1800, false),
                (900 + 4560, 1860, true),
            ],
        );
        follow(None, &[(0, 0, false), (900, 900, true), (-5000, 960, false), (-4100, 1860, true)]);
    }

    #[test]
    fn a_small_correction_is_no_step() {
        follow(None, &[(0, 0, false), (900, 900, true), (1015, 960, true)]);
    }

    #[test]
    fn suspend_is_no_step_but_weeks_of_it_are_doubted() {
        follow(None, &[(0, 0, false), (3 * DAY, 3 * 86_400, true)]);
        follow(None, &[(0, 0, false), (8 * DAY, 8 * 86_400, false), (9 * DAY, 9 * 86_400, true)]);
    }

    #[test]
    fn a_clock_far_beyond_the_store_waits_a_day() {
        follow(Some(0), &[(365 * DAY, 10, false), (365 * DAY + 900, 910, false), (366 * DAY, 86_411, true)]);
    }
}
