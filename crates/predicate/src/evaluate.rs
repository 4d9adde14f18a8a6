//! Evaluation, bounded in steps and in the size of what is made. The depth is that of the tree, which the parser bounds.

use std::{borrow::Cow, cell::Cell};

use regex::Regex;

use crate::{
    check::Node,
    error::EvaluateError,
    function::Function,
    limits::{MAX_STEPS, MAX_VALUE_BYTES},
    pattern::Pattern,
    value::{Environment, Value},
    version::Version,
};

type Strings<'a> = Vec<Cow<'a, str>>;
type Evaluated<'a> = Result<Value<'a>, EvaluateError>;

/// One evaluation.
pub(crate) struct Evaluation<'a> {
    environment: &'a dyn Environment,
    steps: Cell<usize>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(environment: &'a dyn Environment) -> Self {
        Self { environment, steps: Cell::new(0) }
    }

    fn spend(&self, steps: usize) -> Result<(), EvaluateError> {
        let spent = self.steps.get().saturating_add(steps);
        self.steps.set(spent);
        if spent > MAX_STEPS { Err(EvaluateError::Limit { what: "steps", limit: MAX_STEPS }) } else { Ok(()) }
    }

    pub(crate) fn condition(&self, node: &'a Node) -> Result<bool, EvaluateError> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            other => Err(type_error("a condition", "a truth value", &other)),
        }
    }

    /// The strings of a value: one, or those of a list.
    pub(crate) fn strings(&self, node: &'a Node, context: &'static str) -> Result<Strings<'a>, EvaluateError> {
        match self.value(node)? {
            Value::Text(text) => Ok(vec![text]),
            Value::List(list) => Ok(list),
            // An attribute that is a number is written as its digits, so that a template can contain it.
            Value::Int(number) => Ok(vec![number.to_string().into()]),
            other => Err(type_error(context, "a string or a list of strings", &other)),
        }
    }

    fn text(&self, node: &'a Node, context: &'static str) -> Result<Cow<'a, str>, EvaluateError> {
        match self.value(node)? {
            Value::Text(text) => Ok(text),
            other => Err(type_error(context, "a string", &other)),
        }
    }

    pub(crate) fn value(&self, node: &'a Node) -> Evaluated<'a> {
        self.spend(1)?;
        Ok(match node {
            Node::Text(text) => Value::text(text),
            Node::Int(number) => Value::Int(*number),
            Node::Bool(value) => Value::Bool(*value),
            Node::Field(name) => self.field(name)?,
            Node::Index { map, key, list } => match (self.index(map, key)?, list) {
                (Value::Absent, Some(false)) => Value::text(""),
                (Value::Absent, Some(true)) => Value::List(Vec::new()),
                (Value::Absent, None) => return Err(EvaluateError::Absent(map.clone())),
                (value, _) => value,
            },
            Node::Not(inner) => Value::Bool(!self.condition(inner)?),
            Node::And(left, right) => Value::Bool(self.condition(left)? && self.condition(right)?),
            Node::Or(left, right) => Value::Bool(self.condition(left)? || self.condition(right)?),
            Node::Equal(left, right) => Value::Bool(self.equal(left, right)?),
            Node::Match(value, pattern) => {
                let values = self.strings(value, "regexp.match")?;
                self.spend(values.len())?;
                Value::Bool(values.iter().any(|value| pattern.matches(value)))
            }
            Node::Replace(value, regex, replacement) => self.replace(value, regex, replacement)?,
            Node::LabelsMatching(pattern) => self.labels_matching(pattern)?,
            Node::Call(function, arguments) => self.call(*function, arguments)?,
        })
    }

    fn field(&self, name: &str) -> Evaluated<'a> {
        match self.environment.field(name) {
            Value::Absent => Err(EvaluateError::Absent(name.to_owned())),
            value => {
                if let Value::List(list) = &value {
                    self.spend(list.len())?;
                }
                Ok(value)
            }
        }
    }

    fn index(&self, map: &str, key: &'a Node) -> Evaluated<'a> {
        let key = self.text(key, "[…]")?;
        Ok(match self.field(map)? {
            Value::Labels(labels) => labels.get(&*key).map_or(Value::Absent, |value| Value::text(value)),
            Value::Traits(traits) => {
                let values = traits.get(&*key);
                self.spend(values.map_or(0, Vec::len))?;
                values.map_or(Value::Absent, Value::list)
            }
            other => return Err(type_error("[…]", "labels or traits", &other)),
        })
    }

    fn equal(&self, left: &'a Node, right: &'a Node) -> Result<bool, EvaluateError> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if let (Value::List(left), Value::List(_)) = (&left, &right) {
            self.spend(left.len())?;
        }
        Ok(left == right)
    }

    fn call(&self, function: Function, arguments: &'a [Node]) -> Evaluated<'a> {
        let name = function.name();
        Ok(match (function, arguments) {
            (Function::Equals, [left, right]) => Value::Bool(self.equal(left, right)?),
            (Function::Contains, [list, item]) => {
                let list = self.strings(list, name)?;
                let item = self.text(item, name)?;
                self.spend(list.len())?;
                Value::Bool(list.contains(&item))
            }
            (Function::ContainsAny, [list, items]) => Value::Bool(self.overlap(list, items, name)?.0),
            (Function::ContainsAll, [list, items]) => Value::Bool(self.overlap(list, items, name)?.1),
            (Function::AllEqual, [list, wanted]) => Value::Bool(self.all(list, &[wanted], name, |a, b| a == b)?),
            (Function::AllEndWith, [list, end]) => Value::Bool(self.all(list, &[end], name, |a, b| a.ends_with(b))?),
            (Function::IsSubset, [list, allowed @ ..]) => {
                Value::Bool(self.all(list, &allowed.iter().collect::<Vec<_>>(), name, |a, b| a == b)?)
            }
            (Function::NewerThan, [version, than]) => {
                Value::Bool(self.version(version, name)? > self.version(than, name)?)
            }
            (Function::OlderThan, [version, than]) => {
                Value::Bool(self.version(version, name)? < self.version(than, name)?)
            }
            (Function::Between, [version, first, end]) => {
                let range = self.version(first, name)?..self.version(end, name)?;
                Value::Bool(range.contains(&self.version(version, name)?))
            }
            (Function::Exists, [entry]) => Value::Bool(self.exists(entry)?),
            (Function::HasPrefix, [value, prefix]) => {
                let value = self.text(value, name)?;
                Value::Bool(value.starts_with(&*self.text(prefix, name)?))
            }
            (Function::Split, [value, separator]) => {
                let value = self.text(value, name)?;
                let separator = self.text(separator, name)?;
                self.split(&value, &separator)?
            }
            (Function::EmailLocal, [value]) => {
                self.map(value, name, |value| email_local(value).map(Cow::into_owned).map(Some))?
            }
            (Function::Upper, [value]) => self.map(value, name, |value| Ok(Some(value.to_uppercase())))?,
            (Function::Lower, [value]) => self.map(value, name, |value| Ok(Some(value.to_lowercase())))?,
            (Function::Search, words) => Value::Bool(self.search(words)?),
            (Function::Set, items) => {
                let items = items.iter().map(|item| self.text(item, name));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            // The checker has counted the arguments.
            (function, _) => return Err(EvaluateError::Absent(function.name().to_owned())),
        })
    }

    /// Whether a list has any, and whether it has all of some items. No items: neither, so that an empty trait grants nothing.
    fn overlap(&self, list: &'a Node, items: &'a Node, name: &'static str) -> Result<(bool, bool), EvaluateError> {
        let list = self.strings(list, name)?;
        let items = self.strings(items, name)?;
        self.spend(list.len().saturating_mul(items.len()))?;
        let found = items.iter().filter(|item| list.contains(item)).count();
        Ok((found > 0, found > 0 && found == items.len()))
    }

    /// Whether each of a list fits one of some strings. Of nothing nothing is true, so that an empty list grants nothing.
    fn all(
        &self,
        list: &'a Node,
        allowed: &[&'a Node],
        name: &'static str,
        fits: impl Fn(&str, &str) -> bool,
    ) -> Result<bool, EvaluateError> {
        let list = self.strings(list, name)?;
        let allowed = allowed.iter().map(|node| self.text(node, name)).collect::<Result<Vec<_>, _>>()?;
        self.spend(list.len().saturating_mul(allowed.len()))?;
        Ok(!list.is_empty() && list.iter().all(|item| allowed.iter().any(|allowed| fits(item, allowed))))
    }

    fn version(&self, node: &'a Node, name: &'static str) -> Result<Version, EvaluateError> {
        let text = self.text(node, name)?;
        Version::parse(&text).ok_or_else(|| type_error(name, "a version such as 18.2.1", &Value::Text(text)))
    }

    fn exists(&self, entry: &'a Node) -> Result<bool, EvaluateError> {
        let value = match entry {
            Node::Index { map, key, .. } => self.index(map, key),
            other => self.value(other),
        };
        match value {
            Err(EvaluateError::Absent(_)) | Ok(Value::Absent) => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Ok(true),
        }
    }

    fn split(&self, value: &str, separator: &str) -> Evaluated<'a> {
        self.spend(value.len())?;
        if separator.is_empty() {
            return Ok(Value::List(vec![value.to_owned().into()]));
        }
        Ok(Value::List(value.split(separator).map(|part| part.to_owned().into()).collect()))
    }

    /// Applies a function to a string, or to each of a list; `None` drops the value.
    fn map(
        &self,
        value: &'a Node,
        name: &'static str,
        function: impl Fn(&str) -> Result<Option<String>, EvaluateError>,
    ) -> Evaluated<'a> {
        let one = |value: &str| -> Result<Option<Cow<'a, str>>, EvaluateError> {
            self.spend(1 + value.len() / 64)?;
            match function(value)? {
                Some(made) if made.len() > MAX_VALUE_BYTES => {
                    Err(EvaluateError::Limit { what: "bytes in one value", limit: MAX_VALUE_BYTES })
                }
                made => Ok(made.map(Cow::Owned)),
            }
        };
        Ok(match self.value(value)? {
            Value::Text(text) => Value::Text(one(&text)?.unwrap_or_default()),
            Value::List(list) => {
                Value::List(list.iter().filter_map(|value| one(value).transpose()).collect::<Result<_, _>>()?)
            }
            other => return Err(type_error(name, "a string or a list of strings", &other)),
        })
    }

    /// Replaces every match; a value without any match is dropped, which lets an expression pick values and rewrite them.
    fn replace(&self, value: &'a Node, regex: &'a Regex, replacement: &'a str) -> Evaluated<'a> {
        self.map(value, "regexp.replace", |value| {
            if !regex.is_match(value) {
                return Ok(None);
            }
            // Each match adds at most the replacement with every group in it: refuse before making it.
            let matches = regex.find_iter(value).count();
            self.spend(matches)?;
            let groups = 1 + replacement.matches('$').count();
            let bound = matches.saturating_mul(replacement.len()).saturating_add(value.len().saturating_mul(groups));
            if bound > MAX_VALUE_BYTES.saturating_mul(16) {
                return Err(EvaluateError::Limit { what: "bytes in one value", limit: MAX_VALUE_BYTES });
            }
            Ok(Some(regex.replace_all(value, replacement).into_owned()))
        })
    }

    /// The values of the labels whose names fit.
    fn labels_matching(&self, pattern: &Pattern) -> Evaluated<'a> {
        let Value::Labels(labels) = self.field("labels")? else { return Err(EvaluateError::Absent("labels".into())) };
        self.spend(labels.len())?;
        let fitting = labels.iter().filter(|(name, _)| pattern.matches(name));
        Ok(Value::List(fitting.map(|(_, value)| Cow::Borrowed(value.as_str())).collect()))
    }

    /// Whether every word is found in the name, or in the name or value of a label; letter case is ignored.
    fn search(&self, words: &'a [Node]) -> Result<bool, EvaluateError> {
        let mut texts = Vec::new();
        if let Value::Text(name) = self.environment.field("name") {
            texts.push(name.to_lowercase());
        }
        if let Value::Labels(labels) = self.environment.field("labels") {
            self.spend(labels.len())?;
            texts.extend(labels.iter().flat_map(|(name, value)| [name.to_lowercase(), value.to_lowercase()]));
        }
        self.spend(texts.len().saturating_mul(words.len()))?;
        for word in words {
            let word = self.text(word, "search")?.to_lowercase();
            if !texts.iter().any(|text| text.contains(&word)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn type_error(context: &'static str, expected: &'static str, found: &Value<'_>) -> EvaluateError {
    EvaluateError::Type { context, expected, found: found.describe() }
}

/// The part before the `@` of an address, with or without a name before it: `Ann <ann@example.com>` gives `ann`.
fn email_local(address: &str) -> Result<Cow<'_, str>, EvaluateError> {
    let bad = || EvaluateError::Email(address.to_owned());
    let trimmed = address.trim();
    let bare = match trimmed.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').ok_or_else(bad)?,
        None => trimmed,
    };
    let (local, host) = bare.rsplit_once('@').ok_or_else(bad)?;
    let clean =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '@'));
    if clean(local) && clean(host) { Ok(Cow::Borrowed(local)) } else { Err(bad()) }
}
