//! A mistake in a configuration: which file, which line, what to write instead.

use std::fmt;

use super::node::Position;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    source: String,
    at: Option<Position>,
    line: Option<String>,
    message: String,
}

impl ConfigError {
    /// A mistake that has a place.
    pub(crate) fn at(source: &str, text: &str, at: Position, message: impl Into<String>) -> Self {
        let line = at.line.checked_sub(1).and_then(|index| text.lines().nth(index)).map(mask);
        Self { source: source.to_owned(), at: Some(at), line, message: message.into() }
    }

    /// A mistake of the whole file, or of the flags.
    pub(crate) fn whole(source: &str, message: impl Into<String>) -> Self {
        Self { source: source.to_owned(), at: None, line: None, message: message.into() }
    }

    /// What is wrong, without its place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line that it is about, counted from one.
    pub fn line(&self) -> Option<usize> {
        self.at.map(|at| at.line)
    }
}

/// A line as it may be shown: the value of a key that holds a secret is not repeated on a terminal or in a log.
fn mask(line: &str) -> String {
    const SECRET: [&str; 3] = ["token:", "registration_secret:", "static_key:"];
    match SECRET.iter().find_map(|key| line.find(key).map(|at| at + key.len())) {
        Some(end) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.at else { return write!(f, "{}: {}", self.source, self.message) };
        write!(f, "{}\n  --> {}:{}:{}", self.message, self.source, at.line, at.column)?;
        let Some(line) = &self.line else { return Ok(()) };
        let gutter = " ".repeat(at.line.to_string().len());
        let caret = " ".repeat(at.column.saturating_sub(1));
        write!(f, "\n {gutter} |\n {} | {line}\n {gutter} | {caret}^", at.line)
    }
}

impl std::error::Error for ConfigError {}
