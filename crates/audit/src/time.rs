//! Times as audit events write them: RFC 3339 in UTC with milliseconds; "none" is the year 1.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer};

/// What the field `expires` holds when there is no expiry (Go's zero time, which readers of these logs expect).
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// serde for a required moment.
pub(crate) mod millis {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{time:.3}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// serde for a moment that may be missing.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => millis::serialize(time, out),
            None => out.serialize_str(NEVER),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
        let text = String::deserialize(input)?;
        if text == NEVER || text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}
