//! Points in time: RFC 3339; where the reference prints them always, "never" is the first instant of year 1.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Error, Visitor};

/// "No time" as it is printed.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// The same as seconds since 1970.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// Reads RFC 3339; the first instant of year 1 and the empty text are "no time".
///
/// # Errors
/// When the text is no RFC 3339 timestamp.
pub fn parse(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let time: Timestamp =
        text.parse().map_err(|_| format!("must be a time like 2027-01-31T15:04:05Z, found {text:?}"))?;
    // However it is spelt: `…T00:00:00.000Z` and `…+00:00` are the same instant.
    let is_zero = time.as_second() == ZERO_SECONDS && time.subsec_nanosecond() == 0;
    Ok((!is_zero).then_some(time))
}

/// Writes RFC 3339, in UTC.
#[must_use]
pub fn format(time: Option<Timestamp>) -> String {
    time.map_or_else(|| ZERO.to_owned(), |time| time.to_string())
}

struct Time;

impl Visitor<'_> for Time {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time like 2027-01-31T15:04:05Z")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A time that is always printed: none is [`ZERO`].
pub mod always {
    use jiff::Timestamp;
    use serde::{Deserializer, Serializer};

    /// Reads a time.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        deserializer.deserialize_any(super::Time)
    }

    /// Writes a time.
    ///
    /// # Errors
    /// When the serializer fails.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*time))
    }
}

/// A time that is left out (or null) when there is none; year 1 reads as none.
pub mod option {
    use jiff::Timestamp;
    use serde::{Deserializer, Serializer};

    /// Reads a time.
    ///
    /// # Errors
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        deserializer.deserialize_any(super::Time)
    }

    /// Writes a time or null.
    ///
    /// # Errors
    /// When the serializer fails.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instant_is_no_time_however_it_is_spelt() {
        for text in ["", ZERO, "0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00+00:00", "0001-01-01T01:00:00+01:00"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00Z"), Ok(Some(Timestamp::UNIX_EPOCH)));
        assert!(parse("yesterday").is_err());
    }
}
