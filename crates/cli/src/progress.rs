//! One line that says what takes so long; silent when nobody watches.

use std::io::{self, IsTerminal, Write};

/// A step that is under way. Dropping it ends the line.
#[derive(Debug)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Shows `what …` on standard error when that is a terminal.
    pub fn start(what: &str) -> Self {
        let visible = io::stderr().is_terminal();
        let progress = Self { visible };
        progress.say(&format!("{what} …"));
        progress
    }

    /// Replaces the line.
    pub fn update(&self, what: &str) {
        self.say(what);
    }

    fn say(&self, text: &str) {
        if self.visible {
            // A terminal that went away is not worth failing for.
            let _ = write!(io::stderr(), "\r\u{1b}[2K{text}");
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}
