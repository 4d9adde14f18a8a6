//! Decides whether the wall clock can be believed enough to remove what it says has expired.
//!
//! Told the wall clock and the clock that counts since boot (which nobody can set, and which goes on in suspend): when the
//! two disagree between two looks, somebody set the wall clock. One bad clock must not erase a cluster. The [`Mark`] in the
//! store carries a look over a restart of the server, so that it goes on at once; after a restart of the machine the two
//! clocks disagree with it, too, and it waits.

use std::{fmt, str::FromStr, time::Duration};

use clock::Timestamp;

/// The wait after a start of the machine and after a step: an administrator, or NTP, has this long to put a wrong clock right.
const SETTLE: Duration = Duration::from_secs(15 * 60);

/// The difference between two clocks that counts as a step; drift between two looks is far below it.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// How far beyond the last time mark in the store the wall clock is believed at once.
const BELIEVED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The wait when it is further: a server that was off for weeks loses nothing by it, one with a clock a year ahead everything without it.
const DOUBTED: Duration = Duration::from_secs(24 * 3600);

/// How far the mark in the store may be behind the last look: far below what a clock must be off by to be doubted.
const MARK_EVERY: Duration = Duration::from_secs(3600);

/// What both clocks said at one moment: the wall clock, and the clock since boot.
pub(crate) type Look = (Timestamp, Duration);

/// A look that was believed, as it is kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What the wall clock said.
    pub(crate) wall: Timestamp,
    /// What the clock since boot said; none in a mark that stands in for one.
    pub(crate) boot: Option<Duration>,
    /// The look since which the clock is doubted, when it is now far beyond: a restart does not begin this wait anew.
    pub(crate) doubted: Option<Look>,
}

impl Mark {
    /// Whether it says too little of this look.
    pub(crate) fn is_old(&self, wall: Timestamp, boot: Duration) -> bool {
        wall.duration_since(self.wall).unsigned_abs() >= MARK_EVERY
            || self.boot.is_none_or(|before| step(self.wall, before, wall, boot) > STEP)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot = self.boot.map_or_else(|| "-".to_owned(), |boot| boot.as_millis().to_string());
        write!(f, "{} {boot}", self.wall)?;
        self.doubted.map_or(Ok(()), |(wall, boot)| write!(f, " {wall} {}", boot.as_millis()))
    }
}

impl FromStr for Mark {
    type Err = <Timestamp as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(' ');
        let wall = parts.next().unwrap_or_default().parse()?;
        let millis = |part: Option<&str>| part?.parse().ok().map(Duration::from_millis);
        let boot = millis(parts.next());
        let doubted = parts.next().and_then(|wall| Some((wall.parse().ok()?, millis(parts.next())?)));
        Ok(Self { wall, boot, doubted })
    }
}

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
    last: Option<Look>,
    doubted: Option<Look>,
    is_first: bool,
    /// Until when, on the clock since boot, nothing is removed, and why.
    waits_until: Duration,
    reason: Option<String>,
}

impl Machine {
    /// Before the first look; `mark` is the newest in the store.
    pub(crate) fn new(mark: Option<Mark>) -> Self {
        let last = mark.and_then(|mark| Some((mark.wall, mark.boot?)));
        let (mark, doubted) = (mark.map(|mark| mark.wall), mark.and_then(|mark| mark.doubted));
        Self { mark, last, doubted, is_first: true, waits_until: Duration::ZERO, reason: None }
    }

    /// The look since which the clock is doubted, for the mark.
    pub(crate) fn doubted(&self) -> Option<Look> {
        self.doubted
    }

    /// One look at both clocks.
    pub(crate) fn look(&mut self, wall: Timestamp, boot: Duration) -> Verdict {
        match self.last.map(|(last_wall, last_boot)| step(last_wall, last_boot, wall, boot)) {
            Some(step) if step <= STEP => {}
            Some(step) if !self.is_first => {
                let reason =
                    format!("the clock was set by {} s; expired items are kept for 15 minutes", step.as_secs());
                self.wait(boot, SETTLE, Some(reason));
            }
            // The machine was started anew, as far as anybody can tell.
            _ => self.wait(boot, SETTLE, None),
        }
        self.is_first = false;
        if let Some(mark) = self.mark
            && wall.duration_since(mark).unsigned_abs() > BELIEVED
            && wall > mark
        {
            let reason = format!(
                "the clock is more than 7 days beyond the last record ({mark}); expired items are kept for 24 hours"
            );
            // As it was before a restart of the server, if both clocks went on as one since then.
            let known = self.doubted.filter(|&(then, since)| step(then, since, wall, boot) <= STEP);
            let doubted = known.unwrap_or((wall, boot));
            self.doubted = Some(doubted);
            self.wait(doubted.1, DOUBTED, Some(reason));
        }
        self.mark = Some(wall);
        self.last = Some((wall, boot));
        if boot < self.waits_until {
            return Verdict::Wait { reason: self.reason.clone() };
        }
        (self.reason, self.doubted) = (None, None);
        Verdict::Sweep
    }

    /// Waits at least this long since then; never shortens a wait.
    fn wait(&mut self, since: Duration, span: Duration, reason: Option<String>) {
        if since + span >= self.waits_until {
            self.waits_until = since + span;
            self.reason = reason;
        }
    }
}

/// By how much the wall clock moved more, or less, than time passed.
pub(crate) fn step(last_wall: Timestamp, last_boot: Duration, wall: Timestamp, boot: Duration) -> Duration {
    let nanoseconds = |span: Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
    let moved = wall.duration_since(last_wall).as_nanos();
    // Less than nothing has passed when the machine was started anew.
    let passed = nanoseconds(boot) - nanoseconds(last_boot);
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
        follow_from(mark.map(|wall| Mark { wall: at(wall), boot: None, doubted: None }), looks);
    }

    fn follow_from(mark: Option<Mark>, looks: &[(i64, u64, bool)]) {
        let mut machine = Machine::new(mark);
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

    #[test]
    fn a_restart_of_the_server_goes_on_where_it_was_and_one_of_the_machine_does_not() {
        let mark = Some(Mark { wall: at(0), boot: Some(Duration::from_secs(5000)), doubted: None });
        follow_from(mark, &[(30, 5030, true)]);
        follow_from(mark, &[(3 * DAY, 5000 + 3 * 86_400, true)]);
        // The machine was started anew; or somebody set the clock, in either direction.
        follow_from(mark, &[(30, 10, false), (800, 780, false), (931, 911, true)]);
        follow_from(mark, &[(30, 9000, false)]);
        follow_from(mark, &[(3630, 5030, false), (4600, 6000, true)]);
        follow_from(mark, &[(-3570, 5030, false)]);
        follow_from(mark, &[(8 * DAY, 5000 + 8 * 86_400, false)]);
    }

    #[test]
    fn a_restart_of_the_server_goes_on_with_the_doubt() {
        let mark = Mark { wall: at(0), boot: Some(Duration::from_secs(10)), doubted: None };
        let (wall, boot) = (at(30 * DAY), Duration::from_secs(5000));
        let mut machine = Machine::new(Some(mark));
        assert!(matches!(machine.look(wall, boot), Verdict::Wait { reason: Some(_) }));
        let mark = Mark { doubted: machine.doubted(), ..mark };
        assert_eq!(mark.doubted, Some((wall, boot)));
        let after = |seconds: i64| (30 * DAY + seconds, 5000 + seconds.unsigned_abs());
        let look = |(wall, boot): (i64, u64), sweeps: bool| follow_from(Some(mark), &[(wall, boot, sweeps)]);
        look(after(DAY - 1), false);
        // Settled since; a start by itself waits a quarter of an hour more, when the clocks went apart since the mark.
        follow_from(Some(mark), &[(30 * DAY + DAY - 900, 5000 + 85_500, false), (31 * DAY, 5000 + 86_400, true)]);
        // The clock was set since then, or the machine started anew: it is another doubt.
        follow_from(Some(mark), &[(32 * DAY, 5100, false), (32 * DAY + 86_300, 91_400, false)]);
        follow_from(Some(mark), &[(31 * DAY, 60, false), (31 * DAY + 86_300, 86_360, false)]);
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_also_by_an_older_server() {
        for boot in [None, Some(Duration::from_millis(1_234_567))] {
            for doubted in [None, Some((at(9), Duration::from_millis(7)))] {
                let mark = Mark { wall: at(1), boot, doubted };
                assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
            }
            let (old, mark) =
                (boot.map(|boot| format!(" {}", boot.as_millis())), Mark { wall: at(1), boot, doubted: None });
            assert_eq!(format!("{}{}", at(1), old.unwrap_or_default()).parse::<Mark>().unwrap(), mark);
        }
        let mark = Mark { wall: at(0), boot: Some(Duration::from_secs(10)), doubted: None };
        let looks = [(100, 110), (3599, 3609), (3600, 3610), (100, 10), (-100, 10)];
        let old = looks.map(|(wall, boot)| mark.is_old(at(wall), Duration::from_secs(boot)));
        assert_eq!(old, [false, false, true, true, true]);
        assert!(Mark { boot: None, ..mark }.is_old(at(0), Duration::ZERO), "it says nothing of the other clock");
        assert!("never".parse::<Mark>().is_err());
    }
}
