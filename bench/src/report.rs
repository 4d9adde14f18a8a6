//! What was measured, as a Markdown section.

use std::time::Duration;

/// A section: tables with remarks.
#[derive(Debug, Default)]
pub(crate) struct Report {
    text: String,
}

impl Report {
    /// Adds a table.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.line(&format!("| {} |", head.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(head.len())));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
        self.line("");
    }

    /// Adds a paragraph.
    pub(crate) fn remark(&mut self, text: &str) {
        self.line(text);
        self.line("");
    }

    /// The section between marks, by which the chore finds it again in the page.
    pub(crate) fn section(&self, name: &str) -> String {
        format!("<!-- bench:{name} -->\n{}\n<!-- /bench:{name} -->", self.text.trim_end())
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A measured figure beside its goal: `0.31 (goal 0.18: 1.72×)`.
pub(crate) fn against(measured: f64, goal: f64, unit: &str) -> Vec<String> {
    vec![format!("{}{unit}", figure(measured)), format!("{}{unit}", figure(goal)), format!("{:.2}×", measured / goal)]
}

/// Three digits that matter, no more.
pub(crate) fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// Milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{} ms", figure(time.as_secs_f64() * 1_000.0))
}

/// Durations, to be asked for their quantiles.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `share` of all do not exceed.
    pub(crate) fn quantile(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        // Within the bounds of a list in memory.
        let index = (last as f64 * share).round() as usize;
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn median(&mut self) -> Duration {
        self.quantile(0.5)
    }
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}

/// Progress, for the person who waits.
#[expect(clippy::print_stderr, reason = "progress for the person who waits")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
