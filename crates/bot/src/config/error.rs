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

/// A line as it may be shown on a terminal or in a log: up to the end of its first key. A secret may stand behind any key
/// that is misspelt, and behind none.
fn mask(line: &str) -> String {
    let key = line.trim_start_matches([' ', '\t', '-', '{', '"', '\'']);
    let behind = key.trim_start_matches(|letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-'));
    let behind = behind.trim_start_matches(['"', '\'']);
    match behind.strip_prefix(':') {
        Some("") => line.to_owned(),
        Some(value) if value.starts_with(char::is_whitespace) => format!("{} …", &line[..line.len() - value.len()]),
        _ => format!("{}…", &line[..line.len() - key.len()]),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.at else { return write!(f, "{}: {}", self.source, self.message) };
        write!(f, "{}\n  --> {}:{}:{}", self.message, self.source, at.line, at.column)?;
        let Some(line) = &self.line else { return Ok(()) };
        let gutter = " ".repeat(at.line.to_string().len());
        let caret = " ".repeat(at.column.min(line.chars().count()).saturating_sub(1));
        write!(f, "\n {gutter} |\n {} | {line}\n {gutter} | {caret}^", at.line)
    }
}

impl std::error::Error for ConfigError {}
