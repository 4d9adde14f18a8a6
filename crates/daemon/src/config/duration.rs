//! Durations as the file writes them: `30s`, `1h30m`, `12h0m0s`, `7d`, `2mo`, `1y`; `never` and `0` are none.

use std::time::Duration;

use serde::Serializer;

/// Reads a duration; `None` when it is not one.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "never" || text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "mo" => 30.0 * 86_400.0,
            "y" => 365.0 * 86_400.0,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    (!text.is_empty()).then_some(total)
}

/// A duration as upstream writes it: `12h0m0s`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) if rest == 0 && duration.subsec_millis() > 0 => format!("{}ms", duration.subsec_millis()),
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_written() {
        for (text, shown) in [
            ("30s", "30s"),
            ("1h30m", "1h30m0s"),
            ("12h0m0s", "12h0m0s"),
            ("7d", "168h0m0s"),
            ("0", "0s"),
            ("never", "0s"),
            ("500ms", "500ms"),
            ("1.5h", "1h30m0s"),
        ] {
            assert_eq!(parse(text).map(show).as_deref(), Some(shown), "{text}");
        }
        for text in ["", "5", "h", "5 m", "-1s", "1w", "1.2.3s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
