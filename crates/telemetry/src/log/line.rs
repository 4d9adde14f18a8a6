//! How one log line looks.

use std::fmt::Write;

use serde_json::{Map, Value};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `TIME LEVEL [COMPONENT] message key:value file:line`.
    #[default]
    Text,
    /// One JSON object a line, with `timestamp`, `level`, `component`, `caller`, `message` and the fields.
    Json,
}

/// What a line may carry besides its message and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// How severe it is.
    Level,
    /// When it was said.
    Timestamp,
    /// The part of the program that speaks.
    Component,
    /// Where in the source.
    Caller,
}

impl Extra {
    /// Everything, which is what a line carries unless somebody chooses.
    pub const ALL: [Self; 4] = [Self::Level, Self::Timestamp, Self::Component, Self::Caller];

    /// Its name in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Timestamp => "timestamp",
            Self::Component => "component",
            Self::Caller => "caller",
        }
    }
}

/// What a line is made from.
pub(super) struct Line<'a> {
    pub(super) extra: &'a [Extra],
    pub(super) time: clock::Timestamp,
    pub(super) level: tracing::Level,
    pub(super) component: &'a str,
    pub(super) message: &'a str,
    pub(super) fields: &'a [(&'static str, Value)],
    pub(super) caller: Option<String>,
}

impl Line<'_> {
    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
        }
    }

    fn has(&self, extra: Extra) -> bool {
        self.extra.contains(&extra)
    }

    fn text(&self) -> String {
        let mut line = String::new();
        // Writing into a String cannot fail.
        if self.has(Extra::Timestamp) {
            let _ = write!(line, "{:.3} ", self.time);
        }
        if self.has(Extra::Level) {
            let _ = write!(line, "{:<5} ", self.level);
        }
        if self.has(Extra::Component) {
            let _ = write!(line, "[{}] ", self.component);
        }
        push_printable(&mut line, self.message);
        for (name, value) in self.fields {
            let _ = write!(line, " {name}:");
            match value {
                Value::String(text) if is_plain(text) => line.push_str(text),
                other => {
                    let _ = write!(line, "{other}");
                }
            }
        }
        if let Some(caller) = self.caller.as_ref().filter(|_| self.has(Extra::Caller)) {
            let _ = write!(line, " {caller}");
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        let values = [
            (Extra::Timestamp, Some(format!("{:.3}", self.time))),
            (Extra::Level, Some(self.level.as_str().to_ascii_lowercase())),
            (Extra::Component, Some(self.component.to_owned())),
            (Extra::Caller, self.caller.clone()),
        ];
        for (extra, value) in values {
            if let Some(value) = value.filter(|_| self.has(extra)) {
                object.insert(extra.as_str().into(), value.into());
            }
        }
        object.insert("message".into(), self.message.into());
        for (name, value) in self.fields {
            object.entry(*name).or_insert_with(|| value.clone());
        }
        let mut line = Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

/// Whether a value needs no quotes in a text line.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '"')
}

/// Control characters are escaped: what a stranger sent must not start a line of its own or move a terminal's cursor.
fn push_printable(line: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
}
