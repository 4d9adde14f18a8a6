//! The stored form: read with everything unknown kept aside, written with it back in place.

use crate::{
    Error, Resource, Stored,
    stored::{Extra, SCHEMA},
};

pub(crate) fn decode<T: Resource>(bytes: &[u8]) -> Result<Stored<T>, Error> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| Error::internal(format!("stored document: {e}")))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("schema");
    }
    let value = serde_json::from_value(value).map_err(|e| Error::internal(format!("stored document: {e}")))?;
    Ok(Stored { value, extra: Extra::default() })
}

pub(crate) fn encode<T: Resource>(stored: &Stored<T>) -> Result<Vec<u8>, Error> {
    let mut value = serde_json::to_value(&stored.value).map_err(|e| Error::internal(format!("stored document: {e}")))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".into(), SCHEMA.into());
    }
    serde_json::to_vec(&value).map_err(|e| Error::internal(format!("stored document: {e}")))
}
