//! The shape of configuration whose part of the program is not built yet: checked for typos, never used.

use domain::form::{duration, scalar::parse_bool};

use super::{
    fields::{join, unknown},
    node::{Node, Value},
    problem::{Problem, Problems},
};

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schema {
    /// Anything at all.
    Any,
    /// A single value.
    Text,
    /// yes or no.
    Flag,
    /// A whole number.
    Number,
    /// A duration.
    Duration,
    /// One value or a list of them.
    Texts,
    /// A mapping whose keys are the user's own (labels).
    Free,
    /// A list of this.
    List(&'static Schema),
    /// A mapping with these keys.
    Map(&'static [(&'static str, Schema)]),
}

impl Schema {
    /// Reports everything in `node` that does not fit.
    pub(crate) fn check(&self, path: &str, node: &Node, problems: &Problems) {
        let wrong = |must: &str| {
            problems.error(Problem::at(node.place, 1, path, format!("must be {must}, found {}", node.what())));
        };
        match (self, &node.value) {
            (Schema::Any, _) | (_, Value::Null) => {}
            (Schema::Text | Schema::Texts, Value::Scalar(_)) | (Schema::Free, Value::Map(_)) => {}
            (Schema::Flag, Value::Scalar(text)) if parse_bool(text).is_some() => {}
            (Schema::Number, Value::Scalar(text)) if text.parse::<i64>().is_ok() => {}
            (Schema::Duration, Value::Scalar(text)) if duration::parse(text).is_ok() => {}
            (Schema::Texts, Value::List(items)) => {
                items.iter().for_each(|item| Schema::Text.check(path, item, problems));
            }
            (Schema::List(each), Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    each.check(&format!("{path}[{index}]"), item, problems);
                }
            }
            (Schema::Map(keys), Value::Map(entries)) => {
                for entry in entries {
                    match keys.iter().find(|(key, _)| *key == entry.key) {
                        Some((key, schema)) => schema.check(&join(path, key), &entry.node, problems),
                        None => problems.error(unknown(path, entry, keys.iter().map(|(key, _)| *key))),
                    }
                }
            }
            (Schema::Text, _) => wrong("a single value"),
            (Schema::Flag, _) => wrong("yes or no"),
            (Schema::Number, _) => wrong("a whole number"),
            (Schema::Duration, _) => wrong("a duration such as 30s or 12h"),
            (Schema::Texts | Schema::List(_), _) => wrong("a list"),
            (Schema::Free | Schema::Map(_), _) => wrong("a mapping"),
        }
    }

    /// Whether a value switches its part on: not null, no, off, empty, nor a mapping with `enabled: no`.
    pub(crate) fn is_on(node: &Node) -> bool {
        match &node.value {
            Value::Null => false,
            Value::Scalar(text) => !text.is_empty() && parse_bool(text) != Some(false),
            Value::List(items) => !items.is_empty(),
            Value::Map(entries) => match entries.iter().find(|entry| entry.key == "enabled") {
                Some(entry) => Self::is_on(&entry.node),
                None => entries.iter().any(|entry| Self::is_on(&entry.node)),
            },
        }
    }
}
