//! What is wrong with a configuration file, shown with the line that it is about.

use std::{cell::RefCell, fmt};

use super::node::Place;

/// One thing that is wrong, or only worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, such as `auth_service.listen_addr`.
    pub path: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in that line, from 1.
    pub column: usize,
    /// How many characters the marker underlines.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty when there is nothing to say.
    pub hint: String,
}

/// Problems as they are found; shared by everybody who reads a part of the file.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// The file's name, or what stands for it.
    pub(crate) source: String,
    pub(crate) errors: RefCell<Vec<Problem>>,
    pub(crate) warnings: RefCell<Vec<Problem>>,
}

impl Problems {
    pub(crate) fn of(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }

    pub(crate) fn error(&self, problem: Problem) {
        self.errors.borrow_mut().push(problem);
    }

    pub(crate) fn warning(&self, problem: Problem) {
        self.warnings.borrow_mut().push(problem);
    }
}

impl Problem {
    pub(crate) fn at(place: Place, width: usize, path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: place.line,
            column: place.column,
            width: width.max(1),
            message: message.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The problem below its file's line, with a marker under the place.
    fn show(&self, source: &str, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.path, self.message)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, " {margin}--> {source}:{}:{}", self.line, self.column)?;
        if let Some(line) = text.lines().nth(self.line.saturating_sub(1)) {
            let indent = " ".repeat(self.column.saturating_sub(1));
            let marker = format!("{indent}{} {}", "^".repeat(self.width), self.hint);
            writeln!(f, " {margin} |\n {number} | {line}\n {margin} | {}", marker.trim_end())?;
        } else if !self.hint.is_empty() {
            writeln!(f, " {margin} = {}", self.hint)?;
        }
        Ok(())
    }
}

/// A file that cannot be used, with everything that is wrong in it.
#[derive(Debug)]
pub struct Invalid {
    /// The file's name, or what stands for it.
    pub source: String,
    /// Its text, for the snippets.
    pub text: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Invalid {
    /// All of it in one line, as a log needs it.
    pub fn in_a_line(&self) -> String {
        let line = |problem: &Problem| {
            let Problem { path, line, column, message, hint, .. } = problem;
            let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
            format!("{}:{line}:{column}: {path}: {message}{hint}", self.source)
        };
        self.problems.iter().map(line).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.show(&self.source, &self.text, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}
