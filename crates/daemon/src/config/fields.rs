//! Reads one mapping key by key; what nobody asked for is a typo.

use std::{cell::RefCell, net::IpAddr, time::Duration};

use domain::form::{Labels, scalar::parse_bool};

use super::{
    address::Address,
    nearest::nearest,
    node::{Entry, Node, Place, Value},
    problem::{Problem, Problems},
    schema::Schema,
};

/// The keys of one mapping, and where to report.
///
/// Each reading method marks its key as known and reports a value of the wrong shape; [`Fields::finish`] reports
/// the keys that no method asked for.
pub(crate) struct Fields<'n> {
    path: String,
    place: Place,
    entries: &'n [Entry],
    known: RefCell<Vec<&'static str>>,
    problems: &'n Problems,
}

impl<'n> Fields<'n> {
    /// The keys of `node`; anything but a mapping is reported and read as empty.
    pub(crate) fn of(path: &str, node: &'n Node, problems: &'n Problems) -> Self {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                let what = if path.is_empty() { "the file" } else { path };
                let message = format!("must be a mapping, found {}", node.what());
                problems.error(Problem::at(node.place, 1, what, message));
                &[]
            }
        };
        Self { path: path.to_owned(), place: node.place, entries, known: RefCell::default(), problems }
    }

    /// Where the mapping stands, as `file:line:column`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.problems.source, self.place.line, self.place.column)
    }

    fn entry(&self, key: &'static str) -> Option<&'n Entry> {
        self.known.borrow_mut().push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A key with nothing behind it, or with an empty text, says nothing: `diag_addr: ""` is no address.
    fn set(&self, key: &'static str) -> Option<&'n Entry> {
        self.entry(key).filter(|entry| match &entry.node.value {
            Value::Null => false,
            Value::Scalar(text) => !text.is_empty(),
            Value::List(_) | Value::Map(_) => true,
        })
    }

    fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn wrong(&self, key: &str, node: &Node, message: impl Into<String>) -> Problem {
        let width = if let Value::Scalar(text) = &node.value { text.chars().count() } else { 1 };
        Problem::at(node.place, width, &self.path_of(key), message)
    }

    /// Reports that the value of `key` cannot be used.
    pub(crate) fn refuse(&self, key: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        let node = self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
        let problem = match node {
            Some(node) => self.wrong(key, node, message),
            None => Problem::at(self.place, 1, &self.path_of(key), message),
        };
        self.problems.error(problem.hint(hint));
    }

    /// Reports that the value of `key` is accepted but worth a word.
    pub(crate) fn warn(&self, key: &'static str, message: impl Into<String>) {
        if let Some(entry) = self.set(key) {
            self.problems.warning(self.wrong(key, &entry.node, message));
        }
    }

    /// Reads a single value with `parse`, whose error says what the value must be.
    pub(crate) fn parsed<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.set(key)?;
        let result = match &entry.node.value {
            Value::Scalar(text) => parse(text),
            _ => Err(format!("must be a single value, found {}", entry.node.what())),
        };
        result.map_err(|message| self.problems.error(self.wrong(key, &entry.node, message))).ok()
    }

    /// Any text.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        self.parsed(key, |text| Ok(text.to_owned()))
    }

    /// A YAML 1.1 boolean: yes/no, on/off, true/false.
    pub(crate) fn flag(&self, key: &'static str) -> Option<bool> {
        self.parsed(key, |text| parse_bool(text).ok_or_else(|| format!("must be yes or no, found \"{text}\"")))
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self, key: &'static str) -> Option<u64> {
        self.parsed(key, |text| text.parse().map_err(|_| format!("must be a whole number, found \"{text}\"")))
    }

    /// A duration such as `30s`, `1h30m`, `7d`.
    pub(crate) fn duration(&self, key: &'static str) -> Option<Duration> {
        self.parsed(key, domain::form::duration::parse)
    }

    /// `host:port`, or `host` with the port given here.
    pub(crate) fn address(&self, key: &'static str, port: u16) -> Option<Address> {
        self.parsed(key, |text| Address::parse(text, port))
    }

    /// An IP address.
    pub(crate) fn ip(&self, key: &'static str) -> Option<IpAddr> {
        self.parsed(key, |text| text.parse().map_err(|_| format!("must be an IP address, found \"{text}\"")))
    }

    /// One of the words listed.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let entry = self.set(key)?;
        let text = match &entry.node.value {
            Value::Scalar(text) => text.as_str(),
            _ => "",
        };
        // YAML has read a bare `off` as a boolean before we could ask for the word.
        let switch = parse_bool(text);
        let is_meant = |word: &str| word.eq_ignore_ascii_case(text) || (switch.is_some() && parse_bool(word) == switch);
        let found = choices.iter().find(|(word, _)| is_meant(word)).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let problem = self.wrong(key, &entry.node, format!("must be one of {}", words.join(", ")));
            let hint = nearest(text, words).map(|word| format!("did you mean \"{word}\"?")).unwrap_or_default();
            self.problems.error(problem.hint(hint));
        }
        found
    }

    /// Some of the words listed, in the file's order; a word that stands twice counts once.
    pub(crate) fn choices<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let mut chosen = Vec::new();
        for text in self.texts(key)? {
            match choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
                Some((_, choice)) if chosen.contains(choice) => {}
                Some((_, choice)) => chosen.push(*choice),
                None => {
                    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                    let hint = nearest(&text, words.clone()).map(|word| format!("did you mean \"{word}\"?"));
                    let message = format!("\"{text}\" is none of {}", words.join(", "));
                    self.refuse(key, message, hint.unwrap_or_default());
                }
            }
        }
        Some(chosen)
    }

    /// A list of values, or one value (possibly comma separated) that stands for a list.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let entry = self.set(key)?;
        let items = match &entry.node.value {
            Value::Scalar(text) => return Some(words(text)),
            Value::List(items) => items,
            _ => {
                self.problems.error(self.wrong(key, &entry.node, "must be a list"));
                return None;
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Scalar(text) => texts.push(text.clone()),
                _ => self.problems.error(self.wrong(key, item, format!("must be text, found {}", item.what()))),
            }
        }
        Some(texts)
    }

    /// A nested mapping, when it is there.
    pub(crate) fn section(&self, key: &'static str) -> Option<Fields<'n>> {
        let entry = self.set(key)?;
        Some(Fields::of(&self.path_of(key), &entry.node, self.problems))
    }

    /// A nested mapping, empty when it is not there.
    pub(crate) fn section_or_empty(&self, key: &'static str) -> Fields<'n> {
        self.section(key).unwrap_or_else(|| Fields {
            path: self.path_of(key),
            place: self.place,
            entries: &[],
            known: RefCell::default(),
            problems: self.problems,
        })
    }

    /// A list of mappings.
    pub(crate) fn sections(&self, key: &'static str) -> Vec<Fields<'n>> {
        let Some(entry) = self.set(key) else { return Vec::new() };
        let Value::List(items) = &entry.node.value else {
            self.problems.error(self.wrong(key, &entry.node, format!("must be a list, found {}", entry.node.what())));
            return Vec::new();
        };
        let path = self.path_of(key);
        let each = |(index, item)| Fields::of(&format!("{path}[{index}]"), item, self.problems);
        items.iter().enumerate().map(each).collect()
    }

    /// Labels: keys of the user's own, each with a value or several.
    pub(crate) fn labels(&self, key: &'static str) -> Labels {
        let Some(entry) = self.set(key) else { return Labels::default() };
        let Value::Map(entries) = &entry.node.value else {
            self.problems.error(self.wrong(key, &entry.node, "must be a mapping of labels"));
            return Labels::default();
        };
        let mut labels = Labels::default();
        for Entry { key: label, node, .. } in entries {
            let values = match &node.value {
                Value::Scalar(text) => vec![text.clone()],
                Value::List(items) => items.iter().filter_map(Node::text).collect(),
                Value::Null | Value::Map(_) => Vec::new(),
            };
            if values.is_empty() {
                let message = format!("the label \"{label}\" must have text as its value, found {}", node.what());
                self.problems.error(self.wrong(key, node, message));
            }
            labels.insert(label.clone(), values);
        }
        labels
    }

    /// Addresses, each `host:port` or `host` with the port given here.
    pub(crate) fn addresses(&self, key: &'static str, port: u16) -> Vec<Address> {
        let mut addresses = Vec::new();
        for text in self.texts(key).unwrap_or_default() {
            match Address::parse(&text, port) {
                Ok(address) => addresses.push(address),
                Err(message) => self.refuse(key, message, ""),
            }
        }
        addresses
    }

    /// Checks a part that is not built yet against its schema: shape always, use never.
    ///
    /// Returns whether it is there and switched on (see [`Schema::is_on`]).
    pub(crate) fn checked(&self, key: &'static str, schema: &Schema) -> bool {
        let Some(entry) = self.set(key) else { return false };
        schema.check(&self.path_of(key), &entry.node, self.problems);
        Schema::is_on(&entry.node)
    }

    /// As [`Fields::checked`], and refuses the part when it is switched on.
    pub(crate) fn unsupported(&self, key: &'static str, schema: &Schema, hint: &str) {
        if self.checked(key, schema) {
            self.refuse(key, "not supported yet", hint);
        }
    }

    /// A part that is accepted for the sake of existing files, but changes nothing.
    pub(crate) fn ineffective(&self, key: &'static str, schema: &Schema) {
        if self.checked(key, schema) {
            self.warn(key, "has no effect in this version");
        }
    }

    /// The items of a list of texts, or one text as it is.
    pub(crate) fn lines(&self, key: &'static str) -> Vec<String> {
        match self.set(key).map(|entry| &entry.node.value) {
            Some(Value::Scalar(text)) => vec![text.clone()],
            Some(_) => self.texts(key).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Whether nothing stands here.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reports the keys that nobody asked for, each with the nearest that exists.
    pub(crate) fn finish(&self) {
        let known = self.known.borrow();
        for entry in self.entries {
            if !known.contains(&entry.key.as_str()) {
                self.problems.error(unknown(&self.path, entry, known.iter().copied()));
            }
        }
    }
}

/// The problem of a key that does not exist.
pub(crate) fn unknown<'k>(path: &str, entry: &Entry, known: impl IntoIterator<Item = &'k str>) -> Problem {
    let hint = nearest(&entry.key, known).map(|key| format!("did you mean \"{key}\"?")).unwrap_or_default();
    Problem::at(entry.key_place, entry.key.chars().count(), &join(path, &entry.key), "unknown key").hint(hint)
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
