//! How far our clock is from the server's: most "certificate not valid" riddles are a wrong clock.

use std::{fmt, time::Duration};

use clock::Timestamp;

/// The response header with the server's time, in milliseconds since 1970.
pub(crate) const SERVER_TIME: &str = "tessera-server-time";

/// Differences up to this much are the network's and the certificates' backdating bears them.
const NOTICED_FROM: Duration = Duration::from_secs(60);

/// How much our clock differs from the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// How much, without direction.
    pub by: Duration,
    /// Our clock shows an earlier time than the server's.
    pub is_behind: bool,
}

impl Skew {
    /// Compares our time with what the header says; nothing when they agree well enough.
    pub(crate) fn measure(header: &str, now: Timestamp) -> Option<Self> {
        let server = header.parse::<i64>().ok()?;
        let ours = now.as_millisecond();
        let by = Duration::from_millis(server.abs_diff(ours));
        (by >= NOTICED_FROM).then_some(Self { by, is_behind: ours < server })
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.by.as_secs().div_ceil(60).max(1);
        let (count, unit) = match minutes {
            0..120 => (minutes, "minute"),
            120..2880 => (minutes / 60, "hour"),
            _ => (minutes / 1440, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "your clock is {count} {unit}{plural} {}", if self.is_behind { "behind" } else { "ahead" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_named_with_its_direction() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let at = |seconds: i64| (now.as_millisecond() + seconds * 1000).to_string();
        for (server, expect) in [
            (0, None),
            (59, None),
            (420, Some("your clock is 7 minutes behind")),
            (-60, Some("your clock is 1 minute ahead")),
            (3 * 3600, Some("your clock is 3 hours behind")),
            (-10 * 86400, Some("your clock is 10 days ahead")),
        ] {
            assert_eq!(Skew::measure(&at(server), now).map(|skew| skew.to_string()).as_deref(), expect, "{server}");
        }
        assert_eq!(Skew::measure("soon", now), None);
    }
}
