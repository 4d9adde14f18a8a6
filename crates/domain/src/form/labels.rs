//! Label selectors: each key has one value or several.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};

use super::scalar::strings;

/// A label selector: AND over its keys, OR over the values of a key. A key with one value is written as a scalar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, Vec<String>>);

impl Labels {
    /// The selector that matches everything.
    #[must_use]
    pub fn wildcard() -> Self {
        Self([("*".to_owned(), vec!["*".to_owned()])].into())
    }
}

impl Deref for Labels {
    type Target = BTreeMap<String, Vec<String>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Labels {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, Vec<V>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, Vec<V>)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into_iter().map(Into::into).collect())).collect())
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Values(#[serde(with = "strings")] Vec<String>);

#[derive(Serialize)]
#[serde(transparent)]
struct ValuesRef<'a>(#[serde(serialize_with = "one_or_many")] &'a [String]);

fn one_or_many<S: Serializer>(values: &&[String], serializer: S) -> Result<S::Ok, S::Error> {
    strings::serialize(values, serializer)
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, values) in &self.0 {
            map.serialize_entry(key, &ValuesRef(values))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, Values>::deserialize(deserializer)?;
        Ok(Self(map.into_iter().map(|(key, values)| (key, values.0)).collect()))
    }
}
