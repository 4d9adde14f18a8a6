//! Switches that may be written as words, lists that may be written as one string, 64-bit numbers that may be strings.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

/// Reads a switch from `true`, `false`, or one of the words for them.
#[must_use]
pub fn parse_bool(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "1" => Some(true),
        "false" | "no" | "off" | "n" | "0" => Some(false),
        _ => None,
    }
}

struct Switch;

impl Visitor<'_> for Switch {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false (yes, no, on, off)")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<bool, E> {
        parse_bool(word).ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }
}

/// A switch: absent is false.
pub mod switch {
    use super::{Deserializer, Switch};

    /// Reads a switch.
    ///
    /// # Errors
    /// When it is neither a switch nor a word for one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(Switch)
    }
}

/// A switch of which absence says something else than false.
pub mod option {
    use super::{Deserializer, Switch};

    /// Reads a switch.
    ///
    /// # Errors
    /// When it is neither a switch nor a word for one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
        deserializer.deserialize_any(Switch).map(Some)
    }
}

struct StringOrList;

impl<'de> Visitor<'de> for StringOrList {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, one: &str) -> Result<Self::Value, E> {
        Ok(vec![one.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

/// A list of strings that is written as one string when it has one element.
pub mod strings {
    use serde::{Serialize, Serializer};

    use super::{Deserializer, StringOrList};

    /// Reads a string or a list.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_any(StringOrList)
    }

    /// Writes one element as a string, else a list.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        match values {
            [one] => serializer.serialize_str(one),
            many => many.serialize(serializer),
        }
    }
}
