//! YAML with its positions: what a reader needs to name the line of a mistake.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::ConfigError;

/// Larger than any configuration that a person writes.
const MAX_SIZE: usize = 1024 * 1024;

/// A value and where it stands. Lines and columns count from one.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// A place in a source text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What a value is. Scalars keep the text that was written: a token `0123` is no number.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Flag(bool, String),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: String,
}

impl Value {
    /// What to call it in a message.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(..) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// The deepest nesting: the parser is recursive, and a deep text would end at the end of the stack.
const MAX_DEPTH: usize = 24;

/// How many values aliases may stand for, all together: a "billion laughs" ends here.
const MAX_ALIASED: usize = 1_000;

/// Reads one document. An empty text is an empty map.
pub(crate) fn parse(text: &str, source: &str) -> Result<Node, ConfigError> {
    if text.len() > MAX_SIZE {
        return Err(ConfigError::whole(source, "is larger than 1 MiB; is this a tbot configuration?"));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
    };
    let raw: Option<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map(|at| Position { line: narrow(at.line()), column: narrow(at.column()) });
        let message = error.without_snippet().to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        // The parser's advice to programmers is none for a person.
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message).to_owned();
        ConfigError::at(source, text, at.unwrap_or_default(), message)
    })?;
    let empty = || Node { at: Position { line: 1, column: 1 }, value: Value::Map(Vec::new()) };
    Ok(raw.map_or_else(empty, |raw| raw.locate(text)))
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// As serde gives it; scalars still without their own text.
struct Raw(Spanned<Shape>);

enum Shape {
    Null,
    Flag(bool),
    Number(String),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn locate(self, text: &str) -> Node {
        let at = position(&self.0);
        let written = || {
            let span = self.0.defined.span();
            let (start, length) = (narrow(span.byte_offset()?), narrow(span.byte_len()?));
            text.get(start..start.checked_add(length)?).map(|part| part.trim().to_owned())
        };
        let value = match self.0.value {
            Shape::Null => Value::Null,
            Shape::Flag(flag) => Value::Flag(flag, written().unwrap_or_else(|| flag.to_string())),
            Shape::Number(number) => Value::Number(written().filter(|text| !text.is_empty()).unwrap_or(number)),
            Shape::Text(text) => Value::Text(text),
            Shape::List(items) => Value::List(items.into_iter().map(|item| item.locate(text)).collect()),
            Shape::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Key { at: position(&key), text: key.value }, value.locate(text)))
                    .collect(),
            ),
        };
        Node { at, value }
    }
}

fn position<T>(spanned: &Spanned<T>) -> Position {
    Position { line: narrow(spanned.referenced.line()), column: narrow(spanned.referenced.column()) }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Shape>::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Shape, E> {
        Ok(Shape::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Shape::Map(map))
    }
}
