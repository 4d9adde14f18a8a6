//! How a fault in a document is shown.

use std::fmt;

use super::node::Position;

/// How much of a long line is shown on each side of the fault.
const CONTEXT: usize = 70;

/// A document that cannot be read: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// The file, or what stands for it.
    pub source_name: String,
    /// Which resource, such as `role "ci"`, when that much could be read.
    pub subject: String,
    /// Line and column, from 1.
    pub position: Option<Position>,
    /// The path of keys, such as `spec.allow.rules[0].verbs`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The line of the source.
    pub line: String,
    /// Nothing is wrong with it but that this version does not have its kind.
    pub is_unsupported: bool,
}

impl DocumentError {
    pub(super) fn new(source_name: &str, text: &str, position: Option<Position>, message: impl Into<String>) -> Self {
        let line = position.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default().to_owned();
        Self {
            source_name: source_name.to_owned(),
            subject: String::new(),
            position,
            path: String::new(),
            message: message.into(),
            help: String::new(),
            line,
            is_unsupported: false,
        }
    }

    /// What is wrong, in one line, without the place.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts = [&self.subject, &self.path, &self.message];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

impl From<DocumentError> for crate::Error {
    fn from(error: DocumentError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        let Some((line, column)) = self.position else {
            write!(f, "\n  --> {}", self.source_name)?;
            return if self.help.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.help) };
        };
        let (shown, caret) = crop(&self.line, column);
        let gutter = line.to_string().len().max(2);
        let pad = " ".repeat(gutter);
        write!(
            f,
            "\n{pad}--> {}:{line}:{column}\n{pad} |\n{line:>gutter$} | {shown}\n{pad} | {}^",
            self.source_name,
            " ".repeat(caret)
        )?;
        if self.help.is_empty() { Ok(()) } else { write!(f, " {}", self.help) }
    }
}

impl std::error::Error for DocumentError {}

/// The part of the line around the fault, without anything that could upset a terminal, and where the fault is in it.
fn crop(line: &str, column: usize) -> (String, usize) {
    let start = column.saturating_sub(1 + CONTEXT);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown = line.chars().skip(start).take(2 * CONTEXT).map(visible).collect();
    (shown, column - 1 - start)
}
