//! The life of an identity as a pure machine: told the time and what happened, it says what to do next.
//!
//! Two clocks are looked at. The boot clock measures the interval: it runs on through a suspend and nobody can set it.
//! The wall clock is what certificates are judged by: a machine that wakes up, or whose clock was set, finds its
//! identity past half its life or expired and acts at once.

use std::time::Duration;

use clock::Timestamp;

/// The first wait after a failure.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After this many failures in a row the component is reported unhealthy.
pub const UNHEALTHY_AFTER: u32 = 7;

/// What the two clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time.
    pub wall: Timestamp,
    /// Time since the machine started, suspended time included.
    pub boot: Duration,
}

/// How long the identity in hand is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
    /// Whether it may ask for its successor.
    pub renewable: bool,
}

/// How to get the next identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Prove anew who we are.
    Join,
    /// With the certificate in hand.
    Renew,
    /// With the expired certificate and a signature of its key.
    Grace,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask.
    Ask(Way),
    /// Nothing before this much time has passed on either clock.
    Wait(Duration),
    /// Nothing that this program could do helps: neither a usable identity nor a token.
    Stuck,
}

/// Why an attempt came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered, or the server asked for patience. Trying again is right.
    Unavailable,
    /// The server says that the certificate has expired, whatever our clock shows.
    Expired,
    /// The server does not accept the expired certificate any more, or knows no grace.
    GraceOver,
    /// The server refuses: locked, deleted, no permission. Only a person can change that.
    Refused,
    /// The server refuses the token: unknown, expired, spent.
    TokenRefused,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Machine {
    interval: Duration,
    identity: Option<Validity>,
    has_token: bool,
    due: Option<Due>,
    failures: u32,
    step: Duration,
    expired_for_server: bool,
    grace_is_over: bool,
    token_is_refused: bool,
}

/// When the next attempt is due: whichever clock gets there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    boot: Duration,
    wall: Option<Timestamp>,
}

impl Machine {
    /// A machine that begins at once: a start always renews, because nobody knows how long the process was away.
    pub fn new(interval: Duration, identity: Option<Validity>, has_token: bool) -> Self {
        Self {
            interval,
            identity,
            has_token,
            due: None,
            failures: 0,
            step: FIRST_WAIT,
            expired_for_server: false,
            grace_is_over: false,
            token_is_refused: false,
        }
    }

    /// What to do now.
    pub fn step(&self, now: Now) -> Step {
        let Some(way) = self.way(now.wall) else { return Step::Stuck };
        match self.due.map(|due| due.left(now)) {
            None | Some(Duration::ZERO) => Step::Ask(way),
            Some(left) => Step::Wait(left),
        }
    }

    fn way(&self, wall: Timestamp) -> Option<Way> {
        let can_join = self.has_token && !self.token_is_refused;
        match self.identity {
            Some(validity) if validity.renewable => {
                if !self.expired_for_server && wall < validity.not_after {
                    Some(Way::Renew)
                } else if !self.grace_is_over {
                    Some(Way::Grace)
                } else {
                    can_join.then_some(Way::Join)
                }
            }
            // Not renewable: the proof is repeated each time.
            _ => can_join.then_some(Way::Join),
        }
    }

    /// Whether the identity in hand is past its end by our own clock.
    pub fn is_expired(&self, wall: Timestamp) -> bool {
        self.identity.is_none_or(|validity| wall >= validity.not_after)
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether an operator should be told.
    pub fn is_unhealthy(&self) -> bool {
        self.failures >= UNHEALTHY_AFTER
    }

    /// Somebody wants a renewal now.
    pub fn renew_now(&mut self) {
        self.due = None;
    }

    /// There is a new identity, which was asked for at `asked` by the wall clock.
    pub fn succeeded(&mut self, asked: Timestamp, now: Now, validity: Validity) {
        let Validity { not_before, not_after, .. } = validity;
        // What was issued since then has ended before: gone by such a clock, each answer would be followed by the next
        // question at once.
        let is_clock_wrong = asked >= not_after;
        // A certificate shorter than asked for (the role's limit) is renewed at half of what is left.
        let interval = self.interval.min(left(asked, now.wall, not_before, not_after) / 2).max(FIRST_WAIT);
        let half = not_before.saturating_add(span(not_before, not_after) / 2).unwrap_or(not_after);
        let wall = now.wall.saturating_add(interval).map_or(half, |at| at.max(half).min(not_after));
        *self = Self {
            due: Some(Due { boot: now.boot + interval, wall: (!is_clock_wrong).then_some(wall) }),
            identity: Some(validity),
            ..Self::new(self.interval, None, self.has_token)
        };
    }

    /// An attempt came to nothing. `jitter` is between 0 and 1.
    pub fn failed(&mut self, now: Now, failure: Failure, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        match failure {
            Failure::Expired if !self.expired_for_server => {
                // The next step is another way, and no attempt at it has failed yet.
                self.expired_for_server = true;
                self.due = None;
                return;
            }
            Failure::GraceOver => {
                self.grace_is_over = true;
                self.due = None;
                return;
            }
            Failure::TokenRefused => self.token_is_refused = true,
            Failure::Unavailable | Failure::Expired | Failure::Refused => {}
        }
        let wait = self.step.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        // What a person has to change is not asked for every second.
        let wait = if failure == Failure::Refused { LONGEST_WAIT.max(wait) } else { wait };
        self.step = (self.step * 2).min(LONGEST_WAIT);
        self.due = Some(Due { boot: now.boot + wait, wall: None });
    }
}

impl Due {
    fn left(self, now: Now) -> Duration {
        let boot = self.boot.saturating_sub(now.boot);
        self.wall.map_or(boot, |wall| boot.min(span(now.wall, wall)))
    }
}

/// How long a certificate that was asked for at `asked` is good. By a clock that is far ahead it had ended before, by one
/// that is far behind it is good for longer than it lives: then its life is the better guess.
pub fn left(asked: Timestamp, now: Timestamp, not_before: Timestamp, not_after: Timestamp) -> Duration {
    let life = span(not_before, not_after);
    if asked >= not_after { life } else { span(now, not_after).min(life) }
}

/// From one time to another; zero when the other is not later.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
