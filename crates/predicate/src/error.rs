//! What can be wrong with an expression when it is written, and when it is evaluated.

use std::fmt;

/// A text that is not an expression of its language: where, what was found there, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset in the text.
    pub offset: usize,
    /// The number of the character at the offset, counted from 1, as people count.
    pub character: usize,
    /// What stands there.
    pub found: String,
    /// What could have stood there.
    pub expected: String,
}

impl ParseError {
    pub(crate) fn new(text: &str, offset: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let character = text.get(..offset).map_or(0, |before| before.chars().count()) + 1;
        Self { offset, character, found: found.into(), expected: expected.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: expected {}, found {}", self.character, self.expected, self.found)
    }
}

impl std::error::Error for ParseError {}

/// Why an expression has no value in this environment. Whoever decides on it must refuse: see `rbac`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A field has no value here, for instance a session where there is none.
    #[error("{0} is not known here")]
    Absent(String),
    /// An attribute has a value of a type that the expression cannot use.
    #[error("{context} needs {expected}, found {found}")]
    Type {
        /// The function or operator.
        context: &'static str,
        /// What it works on.
        expected: &'static str,
        /// What the environment gave.
        found: &'static str,
    },
    /// A value is not an e-mail address.
    #[error("{0:?} is not an e-mail address")]
    Email(String),
    /// The evaluation reached a limit of [`crate::limits`].
    #[error("the expression is too expensive: more than {limit} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}
