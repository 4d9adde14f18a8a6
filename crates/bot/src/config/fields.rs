//! Reading a map key by key: typed values, and at the end an error for each key that nobody asked for.

use std::time::Duration;

use super::{
    ConfigError,
    node::{Key, Node, Position, Value},
};

/// The text that is being read, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    pub(crate) fn error(self, at: Position, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.name, self.text, at, message)
    }
}

/// A map, half read.
pub(crate) struct Fields<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) at: Position,
    path: String,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a map; `path` is how messages call it, empty for the whole file.
    pub(crate) fn open(source: Source<'a>, node: &'a Node, path: &str) -> Result<Self, ConfigError> {
        let entries: &[_] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                let what = if path.is_empty() { "the configuration" } else { path };
                return Err(source.error(node.at, format!("{what} must be a map, found {}", other.describe())));
            }
        };
        Ok(Self { source, at: node.at, path: path.to_owned(), entries, asked: Vec::new() })
    }

    /// The full name of a key.
    pub(crate) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error at a key, or at the map when the key is not there.
    pub(crate) fn refuse(&self, key: &str, message: impl AsRef<str>) -> ConfigError {
        let at = self.find(key).map_or(self.at, |(key, _)| key.at);
        self.source.error(at, format!("{}: {}", self.name(key), message.as_ref()))
    }

    fn find(&self, key: &str) -> Option<&'a (Key, Node)> {
        self.entries.iter().find(|(found, _)| found.text == key)
    }

    /// The value of a key as it stands; an explicit null counts as absent.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.find(key).map(|(_, node)| node).filter(|node| !matches!(node.value, Value::Null))
    }

    fn wrong(&self, node: &Node, key: &str, wanted: &str) -> ConfigError {
        self.source.error(node.at, format!("{} must be {wanted}, found {}", self.name(key), node.value.describe()))
    }

    /// Text; numbers and switches give the text that was written.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(node) = self.node(key) else { return Ok(None) };
        scalar(node).map(Some).ok_or_else(|| self.wrong(node, key, "text"))
    }

    /// Text that must be there.
    pub(crate) fn required(&mut self, key: &'static str) -> Result<String, ConfigError> {
        match self.text(key)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.missing(key)),
        }
    }

    /// The error for a key that must be there: a misspelt one is more likely than none.
    pub(crate) fn missing(&self, key: &str) -> ConfigError {
        let misspelt = |entry: &&(Key, Node)| {
            !self.asked.contains(&entry.0.text.as_str()) && nearest(&entry.0.text, &[key]).is_some()
        };
        match self.entries.iter().find(misspelt) {
            Some((found, _)) => {
                let message = format!("unknown key {:?}; did you mean {key:?}?", self.name(&found.text));
                self.source.error(found.at, message)
            }
            None => self.refuse(key, "is required"),
        }
    }

    /// `true` or `false`; `yes`, `no`, `on`, `off` are understood.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let flag = match &node.value {
            Value::Flag(flag, _) => Some(*flag),
            Value::Text(text) => match text.as_str() {
                "yes" | "on" | "true" => Some(true),
                "no" | "off" | "false" => Some(false),
                _ => None,
            },
            _ => None,
        };
        flag.map(Some).ok_or_else(|| self.wrong(node, key, "true or false"))
    }

    /// A span such as `1h30m`, not zero.
    pub(crate) fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let text = scalar(node).ok_or_else(|| self.wrong(node, key, "a duration such as 20m"))?;
        match domain::form::duration::parse(&text) {
            Ok(span) if span.is_zero() => Err(self.source.error(node.at, format!("{} must not be 0", self.name(key)))),
            Ok(span) => Ok(Some(span)),
            Err(reason) => Err(self.source.error(node.at, format!("{} {reason}", self.name(key)))),
        }
    }

    /// A list of texts; a single text counts as a list of one.
    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().map(|item| scalar(item).ok_or_else(|| self.wrong(item, key, "a list of texts"))).collect()
    }

    /// The items of a list.
    pub(crate) fn items(&mut self, key: &'static str) -> Result<&'a [Node], ConfigError> {
        match self.node(key) {
            None => Ok(&[]),
            Some(Node { value: Value::List(items), .. }) => Ok(items),
            Some(other) => Err(self.wrong(other, key, "a list")),
        }
    }

    /// A map below this one.
    pub(crate) fn map(&mut self, key: &'static str) -> Result<Option<Self>, ConfigError> {
        let path = self.name(key);
        self.node(key).map(|node| Fields::open(self.source, node, &path)).transpose()
    }

    /// Ends the reading: a key that nobody asked for is a mistake.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let Some((key, _)) = self.entries.iter().find(|(key, _)| !self.asked.contains(&key.text.as_str())) else {
            return Ok(());
        };
        let hint = match nearest(&key.text, &self.asked) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => format!("; known here: {}", self.asked.join(", ")),
        };
        Err(self.source.error(key.at, format!("unknown key {:?}{hint}", self.name(&key.text))))
    }
}

/// The text of a scalar as it was written.
pub(crate) fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) | Value::Flag(_, text) => Some(text.clone()),
        _ => None,
    }
}

/// The known word that needs the fewest changes, when that is few.
pub(crate) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    let best = known.iter().map(|other| (distance(word, other), *other)).min()?;
    (best.0 <= limit).then_some(best.1)
}

/// Levenshtein's distance, small inputs only.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, to) in right.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
