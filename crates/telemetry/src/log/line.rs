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

/// What a line is made from.
pub(super) struct Line<'a> {
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

    fn text(&self) -> String {
        let mut line = format!("{:.3} {:<5} [{}] ", self.time, self.level, self.component);
        push_printable(&mut line, self.message);
        for (name, value) in self.fields {
            // Writing into a String cannot fail.
            let _ = write!(line, " {name}:");
            match value {
                Value::String(text) if is_plain(text) => line.push_str(text),
                other => {
                    let _ = write!(line, "{other}");
                }
            }
        }
        if let Some(caller) = &self.caller {
            let _ = write!(line, " {caller}");
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("timestamp".into(), format!("{:.3}", self.time).into());
        object.insert("level".into(), self.level.as_str().to_ascii_lowercase().into());
        object.insert("component".into(), self.component.into());
        if let Some(caller) = &self.caller {
            object.insert("caller".into(), caller.as_str().into());
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
