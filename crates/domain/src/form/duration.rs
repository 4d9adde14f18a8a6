//! Spans of time: `30h0m0s` in the older documents, `"3600s"` in the newer ones.

use std::{fmt, time::Duration};

use serde::de::{Error, Unexpected, Visitor};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The longest span that the wire carries: a signed 64-bit count of nanoseconds.
pub const MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Reads a span such as `1h30m`, `7d`, `1mo`, `1y`, `never` (none at all), `0`.
///
/// # Errors
/// When the text is no span, is negative, or is longer than [`MAX`].
pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("must be a duration like 12h, 30m or 7d, found {text:?}");
    if text == "never" || text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err(format!("must not be negative, found {text:?}"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = unit_nanos(unit).ok_or_else(refuse)?;
        total = scale(number, unit).and_then(|nanos| total.checked_add(nanos)).ok_or_else(refuse)?;
        if total > MAX.as_nanos() {
            return Err(format!("is too long, at most 292 years, found {text:?}"));
        }
        rest = tail;
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| refuse())
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        "mo" => 30 * DAY,
        "y" => 365 * DAY,
        _ => return None,
    })
}

/// A decimal number of units, as nanoseconds.
fn scale(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 20 || (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(u128::from(unit))?;
    let mut place = u128::from(unit);
    for digit in fraction.bytes().take(18) {
        place /= 10;
        nanos += place * u128::from(digit - b'0');
    }
    Some(nanos)
}

/// Writes a span as hours, minutes and seconds: `30h0m0s`, `1.5s`, `0s`.
#[must_use]
pub fn format(span: Duration) -> String {
    let nanos = span.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < u128::from(SECOND) {
        let (unit, name) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{name}", decimal(nanos, unit));
    }
    let seconds = decimal(nanos % u128::from(MINUTE), u128::from(SECOND));
    let minutes = nanos / u128::from(MINUTE);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u128, unit: u128) -> String {
    let fraction = value % unit;
    if fraction == 0 {
        return (value / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

/// Writes a span as the newer documents do: seconds with a fraction only where there is one.
#[must_use]
pub fn format_seconds(span: Duration) -> String {
    match span.subsec_nanos() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}s", decimal(span.as_nanos(), u128::from(SECOND))),
    }
}

struct Span;

impl Visitor<'_> for Span {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration like 12h, 30m or 7d")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        if text.is_empty() {
            return Ok(Duration::ZERO);
        }
        parse(text).map_err(E::custom)
    }

    // A bare number would be nanoseconds on the wire; a person means seconds or hours. Only zero is unambiguous.
    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        match number {
            0 => Ok(Duration::ZERO),
            _ => Err(E::invalid_type(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        match number {
            0 => Ok(Duration::ZERO),
            _ => Err(E::invalid_type(Unexpected::Signed(number), &self)),
        }
    }
}

/// `30h0m0s`.
pub mod go {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    /// Reads a span.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(super::Span)
    }

    /// Writes a span.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*span))
    }
}

/// `"3600s"`, absent when there is none. The other spellings are read too.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    /// Reads a span.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        deserializer.deserialize_any(super::Span).map(Some)
    }

    /// Writes a span or null.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => serializer.serialize_str(&super::format_seconds(*span)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, written) in [
            ("30h", "30h0m0s"),
            ("1h30m", "1h30m0s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("100ms", "100ms"),
            ("1.5h", "1h30m0s"),
            ("7d", "168h0m0s"),
            ("1mo", "720h0m0s"),
            ("1y", "8760h0m0s"),
            ("1500µs", "1.5ms"),
            ("5ns", "5ns"),
            ("never", "0s"),
            ("0", "0s"),
            ("0s", "0s"),
        ] {
            assert_eq!(parse(text).map(format), Ok(written.to_owned()), "{text}");
            assert_eq!(parse(written).map(format), Ok(written.to_owned()), "{written}");
        }
        for text in
            ["", "-1h", "1", "h", "1x", "1h-1m", "300y", "1.2.3s", ".s", "99999999999999999999999s", " 1h", "1 h"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(format_seconds(Duration::from_millis(1500)), "1.5s");
        assert_eq!(format_seconds(Duration::from_secs(43_200)), "43200s");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..=i64::MAX as u64) {
            let span = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&format(span)), Ok(span));
            proptest::prop_assert_eq!(parse(&format_seconds(span)), Ok(span));
        }

        #[test]
        fn random_text_never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
