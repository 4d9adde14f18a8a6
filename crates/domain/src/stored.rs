//! How a resource lies in storage: the value, and whatever a newer version wrote that this one does not know.

use crate::{Error, Resource};

/// The number of the stored form, written into each stored document.
pub const SCHEMA: u64 = 1;

/// A resource and the parts of its stored document that this version does not understand. They are kept and written back.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// What this version understands.
    pub value: T,
    /// What it does not.
    pub extra: Extra,
}

/// Unknown parts of a stored document, by where they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra(pub(crate) Vec<(Vec<Step>, serde_json::Value)>);

/// One step down into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    /// An element of a list, and how long the list was: with another length it is no longer known which element is meant.
    Index(usize, usize),
}

impl<T: Resource> Stored<T> {
    /// A value with nothing unknown beside it.
    pub const fn new(value: T) -> Self {
        Self { value, extra: Extra(Vec::new()) }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is no document of this kind, or of a schema newer than [`SCHEMA`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        crate::document::store::decode(bytes)
    }

    /// Writes the stored form, with everything unknown back in its place.
    ///
    /// # Errors
    /// When the value cannot be written as JSON, which would be a defect.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        crate::document::store::encode(self)
    }
}
