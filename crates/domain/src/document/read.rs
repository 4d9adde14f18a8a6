//! Turns a tree into a typed value: each fault knows its place, each unknown key is seen.

use std::{cell::RefCell, fmt};

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::node::{Key, Node, Position, Value};
use crate::stored::Step;

/// Why a tree is not the value that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) at: Option<Position>,
    pub(crate) path: Option<String>,
    pub(crate) message: String,
    pub(crate) help: String,
    /// The place holds a number or a switch where a string must be.
    pub(crate) wants_quotes: bool,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { at: None, path: None, message: message.into(), help: String::new(), wants_quotes: false }
    }

    /// Notes the place, unless a deeper one is known.
    fn locate(mut self, node: &Node, path: &Path<'_>) -> Self {
        if self.path.is_none() {
            self.path = Some(path.to_string());
            self.at = node.at;
            if self.wants_quotes {
                self.help = match &node.value {
                    Value::Bool(value) => format!("write \"{value}\""),
                    Value::Signed(value) => format!("write \"{value}\""),
                    Value::Unsigned(value) => format!("write \"{value}\""),
                    Value::Float(value) => format!("write \"{value}\""),
                    _ => String::new(),
                };
            }
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let scalar = matches!(
            found,
            Unexpected::Bool(_) | Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
        );
        let expected = in_words(&expected.to_string());
        Self {
            wants_quotes: scalar && expected.starts_with("a string"),
            ..Self::new(format!("must be {expected}, found {}", found_in_words(&found)))
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}, found {}", in_words(&expected.to_string()), found_in_words(&found)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key {field:?} is missing"))
    }
}

fn in_words(expected: &str) -> String {
    match expected {
        "a map" => "a mapping".into(),
        "a sequence" => "a list".into(),
        "a boolean" => "true or false".into(),
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u64" | "usize" => "a whole number".into(),
        "u32" => "a whole number, not negative".into(),
        "f32" | "f64" => "a number".into(),
        other if other.starts_with("struct ") => "a mapping".into(),
        other => other.to_owned(),
    }
}

fn found_in_words(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => "a number".into(),
        Unexpected::Str(text) if text.len() <= 64 => format!("the string {text:?}"),
        Unexpected::Str(_) => "a long string".into(),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a mapping".into(),
        other => other.to_string(),
    }
}

/// What becomes of keys that the type does not know.
pub(crate) enum Unknown {
    /// They are faults: a person wrote them.
    Refuse,
    /// They are kept: a newer version wrote them.
    Keep(RefCell<Vec<(Vec<Step>, serde_json::Value)>>),
}

/// Keys that older versions and the reference still print and that mean nothing any more: read over, so that what was
/// printed can be read.
const RETIRED: [&str; 2] = ["metadata.id", "spec.status.recovery_attempt_lock_expires"];

/// The way down to a value.
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index, _) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    fn steps(&self) -> Vec<Step> {
        match self {
            Self::Root => Vec::new(),
            Self::Key(parent, key) => {
                let mut steps = parent.steps();
                steps.push(Step::Key((*key).to_owned()));
                steps
            }
            Self::Index(parent, index, length) => {
                let mut steps = parent.steps();
                steps.push(Step::Index(*index, *length));
                steps
            }
        }
    }
}

/// Reads a value from a tree.
pub(crate) fn from_node<'de, T: Deserialize<'de>>(node: &'de Node, unknown: &Unknown) -> Result<T, Fault> {
    T::deserialize(Reader { node, path: &Path::Root, unknown }).map_err(|fault| fault.locate(node, &Path::Root))
}

#[derive(Clone, Copy)]
struct Reader<'de, 'a> {
    node: &'de Node,
    path: &'a Path<'a>,
    unknown: &'a Unknown,
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(nodes) => visitor.visit_seq(Elements { nodes, next: 0, of: self }),
            Value::Map(entries) => {
                visitor.visit_map(Entries { entries, value: None, of: self, skip_null: false, known: None })
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let entries: &[(Key, Node)] = match &self.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => return self.deserialize_any(NotAList(visitor)),
        };
        for (key, node) in entries.iter().filter(|(key, _)| !fields.contains(&key.name.as_str())) {
            self.unknown(key, node, fields)?;
        }
        // As in the official types, an empty value says nothing about its key.
        visitor.visit_map(Entries { entries, value: None, of: self, skip_null: true, known: Some(fields) })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl<'de> Reader<'de, '_> {
    fn unknown(&self, key: &'de Key, node: &Node, fields: &[&str]) -> Result<(), Fault> {
        let path = Path::Key(self.path, &key.name);
        match self.unknown {
            Unknown::Keep(kept) => {
                kept.borrow_mut().push((path.steps(), node.to_json()));
                Ok(())
            }
            Unknown::Refuse if RETIRED.contains(&path.to_string().as_str()) => Ok(()),
            Unknown::Refuse => Err(Fault {
                at: key.at,
                path: Some(path.to_string()),
                help: suggest(&key.name, fields),
                ..Fault::new("there is no such key")
            }),
        }
    }
}

/// A list is never a struct, although serde would read one as such.
struct NotAList<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for NotAList<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }
}

/// The nearest of the known words, or all of them when they are few.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let nearest = known.iter().map(|candidate| (distance(word, candidate), *candidate)).min();
    match nearest {
        Some((far, candidate)) if far <= limit => format!("did you mean \"{candidate}\"?"),
        _ if known.is_empty() => String::new(),
        _ if known.len() <= 12 => format!("known here: {}", known.join(", ")),
        _ => String::new(),
    }
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in table.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in table[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (table[i - 1][j] + 1).min(table[i][j - 1] + 1).min(table[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    table[a.len()][b.len()]
}

struct Elements<'de, 'a> {
    nodes: &'de [Node],
    next: usize,
    of: Reader<'de, 'a>,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let path = Path::Index(self.of.path, self.next, self.nodes.len());
        self.next += 1;
        seed.deserialize(Reader { node, path: &path, unknown: self.of.unknown })
            .map(Some)
            .map_err(|fault| fault.locate(node, &path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len() - self.next)
    }
}

struct Entries<'de, 'a> {
    entries: &'de [(Key, Node)],
    value: Option<(&'de Key, &'de Node)>,
    of: Reader<'de, 'a>,
    skip_null: bool,
    known: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        while let Some(((key, node), rest)) = self.entries.split_first() {
            self.entries = rest;
            let known = self.known.is_none_or(|fields| fields.contains(&key.name.as_str()));
            if !known || (self.skip_null && node.value == Value::Null) {
                continue;
            }
            self.value = Some((key, node));
            let name: de::value::StrDeserializer<'_, Fault> = key.name.as_str().into_deserializer();
            return seed.deserialize(name).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let (key, node) = self.value.take().ok_or_else(|| Fault::new("a value was asked for before its key"))?;
        let path = Path::Key(self.of.path, &key.name);
        seed.deserialize(Reader { node, path: &path, unknown: self.of.unknown })
            .map_err(|fault| fault.locate(node, &path))
    }
}
