//! What expressions compute with, and where their fields come from.

use std::{borrow::Cow, collections::BTreeMap};

/// The type of an expression, known when it is written. `Any` is the type of attributes, which is known only later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A string.
    Text,
    /// A list of strings.
    List,
    /// A map from names to strings.
    Labels,
    /// A map from names to lists of strings.
    Traits,
    /// Known when the expression is evaluated.
    Any,
}

impl Type {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "a truth value",
            Self::Int => "a number",
            Self::Text => "a string",
            Self::List => "a list of strings",
            Self::Labels => "labels (choose one: labels[\"key\"])",
            Self::Traits => "traits (choose one: traits[\"key\"])",
            Self::Any => "an attribute",
        }
    }
}

/// A value, borrowed from the environment where possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// There is none.
    Absent,
    /// See [`Type::Bool`].
    Bool(bool),
    /// See [`Type::Int`].
    Int(i64),
    /// See [`Type::Text`].
    Text(Cow<'a, str>),
    /// See [`Type::List`].
    List(Vec<Cow<'a, str>>),
    /// See [`Type::Labels`].
    Labels(&'a BTreeMap<String, String>),
    /// See [`Type::Traits`].
    Traits(&'a BTreeMap<String, Vec<String>>),
}

impl<'a> Value<'a> {
    /// A list that borrows its strings.
    pub fn list<S: AsRef<str> + 'a>(values: impl IntoIterator<Item = &'a S>) -> Self {
        Self::List(values.into_iter().map(|value| Cow::Borrowed(value.as_ref())).collect())
    }

    /// A string that is borrowed.
    #[must_use]
    pub const fn text(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }

    pub(crate) const fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Bool(_) => Type::Bool.describe(),
            Self::Int(_) => Type::Int.describe(),
            Self::Text(_) => Type::Text.describe(),
            Self::List(_) => Type::List.describe(),
            Self::Labels(_) => "labels",
            Self::Traits(_) => "traits",
        }
    }
}

/// Where an expression finds the values of its fields.
///
/// A field of a declared type must be answered with that type or with [`Value::Absent`]; an absent field is an error
/// when the expression reaches it, so that a rule about something that is not there never grants anything.
pub trait Environment {
    /// The value of a field, by the name that its [`crate::Schema`] declares; for attributes, the whole dotted path.
    fn field(&self, name: &str) -> Value<'_>;
}
