//! Reads a word of a closed list, its number, or `false` and `true` where words stand for them.

use std::fmt;

use serde::de::{Error, Visitor};

/// The visitor behind `choice!`.
pub struct ChoiceVisitor<T> {
    /// Reads a word.
    pub parse: fn(&str) -> Option<T>,
    /// Reads a wire number.
    pub number: fn(i32) -> Option<T>,
    /// The words to name in an error.
    pub words: Vec<&'static str>,
}

impl<T> ChoiceVisitor<T> {
    fn refuse<E: Error>(&self, found: impl fmt::Display) -> E {
        E::custom(format_args!("must be one of {}, found {found}", self.words.join(", ")))
    }
}

impl<T> Visitor<'_> for ChoiceVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.words.join(", "))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        (self.parse)(word).ok_or_else(|| self.refuse(format_args!("{word:?}")))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        (self.parse)(if value { "true" } else { "false" }).ok_or_else(|| self.refuse(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        i32::try_from(number).ok().and_then(self.number).ok_or_else(|| self.refuse(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        i32::try_from(number).ok().and_then(self.number).ok_or_else(|| self.refuse(number))
    }
}
