//! How a failure is shown to a person: one line with its causes, and what to do next.

use std::{
    error::Error,
    fmt,
    io::{self, Write},
};

/// A failure together with the next step for whoever reads it.
///
/// It shows as the failure itself; [`render`] prints the advice below.
#[derive(Debug)]
pub struct Advised {
    failure: anyhow::Error,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The failure itself, so that its type is found in the chain; `render` drops the text that repeats.
        Some(&*self.failure)
    }
}

impl Advised {
    /// A failure and the next step: a sentence in the imperative, without a full stop.
    pub fn new(failure: impl Into<anyhow::Error>, advice: impl Into<String>) -> Self {
        Self { failure: failure.into(), advice: advice.into() }
    }
}

/// Adds the next step to a failure.
pub trait Advice<T> {
    /// `advice` is a sentence in the imperative, without a full stop: the flag, the file, the command.
    fn advise<S: Into<String>>(self, advice: impl FnOnce() -> S) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advice<T> for Result<T, E> {
    fn advise<S: Into<String>>(self, advice: impl FnOnce() -> S) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::Error::new(Advised::new(error, advice())))
    }
}

/// Tells a person of something that did not fail, on standard error.
pub fn warn(what: impl fmt::Display) {
    // Nothing is left to be told to somebody whose standard error is gone.
    let _ = writeln!(io::stderr(), "WARNING: {what}");
}

/// The text for standard error: `ERROR: what: why: root cause`, then one `  next: …` line for each advice.
///
/// A cause whose text the error before it already carries is left out.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = String::from("ERROR: ");
    let mut shown = String::new();
    for cause in error.chain() {
        let line = cause.to_string();
        let line = line.trim_end();
        if line.is_empty() || shown.ends_with(line) {
            continue;
        }
        if !shown.is_empty() {
            shown.push_str(": ");
        }
        shown.push_str(line);
    }
    text.push_str(&shown);
    text.push('\n');
    for advised in error.chain().filter_map(|cause| cause.downcast_ref::<Advised>()) {
        text.push_str("  next: ");
        text.push_str(&advised.advice);
        text.push('\n');
    }
    text
}

/// Whether a failure only says that nobody reads our output any more (`tctl get roles | head`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::Exit;

    #[test]
    fn causes_are_joined_and_advice_comes_last() {
        let failure: anyhow::Result<()> = Err(domain::Error::not_found("role \"ci\" not found"))
            .context("bot cannot be created")
            .advise(|| "create the role first: tctl create -f role.yaml");
        let error = failure.unwrap_err();
        assert_eq!(
            render(&error),
            "ERROR: bot cannot be created: role \"ci\" not found\n  next: create the role first: tctl create -f role.yaml\n"
        );
        assert_eq!(Exit::of(&error), Exit::NotFound);
    }

    #[test]
    fn an_advised_failure_without_causes_keeps_its_exit_code_and_is_shown_once() {
        let failure: anyhow::Result<()> = Err(domain::Error::denied("no")).advise(|| "ask");
        let error = failure.unwrap_err();
        assert_eq!(render(&error), "ERROR: no\n  next: ask\n");
        assert_eq!(Exit::of(&error), Exit::Denied);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("write output");
        assert!(is_broken_pipe(&error));
    }
}
