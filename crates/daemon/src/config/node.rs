//! A YAML document in which every key and value knows its line and column.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::Problem;

/// The deepest nesting: the parser is recursive, and a deep text would end at the end of the stack.
const MAX_DEPTH: usize = 24;

/// How many values aliases may stand for, all together: a "billion laughs" ends here.
const MAX_ALIASED: usize = 1_000;

/// A place in the file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// What a node holds. Numbers and booleans stay text until somebody knows which of them is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

impl Node {
    /// The text of a single value.
    pub(crate) fn text(&self) -> Option<String> {
        if let Value::Scalar(text) = &self.value { Some(text.clone()) } else { None }
    }

    /// Reads one document. Duplicate keys and alias bombs are refused by the parser.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::empty());
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        };
        serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options).map(Node::from).map_err(|why| {
            let start = Place { line: 1, column: 1 };
            let place = why.location().filter(|at| at.line() > 0).map_or(start, |at| place(&at));
            Problem::at(place, 1, "not valid YAML", plain(&why))
        })
    }

    /// A document without any key.
    pub(crate) fn empty() -> Self {
        Self { place: Place { line: 1, column: 1 }, value: Value::Map(Vec::new()) }
    }

    /// What the value is called in an error.
    pub(crate) fn what(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { place: place(&spanned.referenced), value: spanned.value }
    }
}

/// The parser's own words, without its place, its snippet and its advice to programmers.
fn plain(why: &serde_saphyr::Error) -> String {
    let text = why.without_snippet().to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    text.split(", set DuplicateKeyPolicy").next().unwrap_or(text).trim_end_matches([',', ':']).to_owned()
}

fn place(location: &serde_saphyr::Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let node = entries.next_value::<Spanned<Value>>()?.into();
            map.push(Entry { key_place: place(&key.referenced), key: key.value, node });
        }
        Ok(Value::Map(map))
    }
}
