//! The stored form: read with everything unknown kept aside, written with it back in place.

use std::cell::RefCell;

use serde_json::Value;

use super::{
    node::Node,
    read::{Unknown, from_node},
};
use crate::{
    Error, Resource, Stored,
    stored::{Extra, SCHEMA, Step},
};

/// Where the number of the stored form is.
const SCHEMA_KEY: &str = "schema";

pub(crate) fn decode<T: Resource>(bytes: &[u8]) -> Result<Stored<T>, Error> {
    let broken = |why: &dyn std::fmt::Display| Error::internal(format!("a stored {} cannot be read: {why}", T::KIND));
    let mut json: Value = serde_json::from_slice(bytes).map_err(|why| broken(&why))?;
    let schema = json.as_object_mut().and_then(|object| object.remove(SCHEMA_KEY));
    match schema.as_ref().and_then(Value::as_u64) {
        Some(1..=SCHEMA) => {}
        Some(newer) => {
            return Err(Error::unsupported(format!(
                "a stored {} has schema {newer}, this version reads up to {SCHEMA}: start the version that wrote it",
                T::KIND
            )));
        }
        None => return Err(broken(&"it has no schema number")),
    }
    let node = Node::from(json);
    let unknown = Unknown::Keep(RefCell::default());
    let value = from_node(&node, &unknown).map_err(|fault| broken(&fault))?;
    let extra = match unknown {
        Unknown::Keep(kept) => Extra(kept.into_inner()),
        Unknown::Refuse => Extra::default(),
    };
    Ok(Stored { value, extra })
}

pub(crate) fn encode<T: Resource>(stored: &Stored<T>) -> Result<Vec<u8>, Error> {
    let broken = |why: serde_json::Error| Error::internal(format!("a {} cannot be stored: {why}", T::KIND));
    let mut json = serde_json::to_value(&stored.value).map_err(broken)?;
    if let Some(object) = json.as_object_mut() {
        object.insert(SCHEMA_KEY.to_owned(), SCHEMA.into());
    }
    for (steps, value) in &stored.extra.0 {
        put_back(&mut json, steps, value);
    }
    serde_json::to_vec(&json).map_err(broken)
}

/// Puts an unknown part back, unless what it was part of is gone, has become something else, or has it now.
fn put_back(json: &mut Value, steps: &[Step], value: &Value) {
    match steps {
        [Step::Key(key)] => {
            if let Value::Object(object) = json {
                object.entry(key.as_str()).or_insert_with(|| value.clone());
            }
        }
        [Step::Key(key), rest @ ..] => {
            // A block that is left out because this version sees nothing in it is made again around what it does not see.
            let into_map = matches!(rest.first(), Some(Step::Key(_)));
            if let Value::Object(object) = json {
                match object.get_mut(key.as_str()) {
                    Some(inner) => put_back(inner, rest, value),
                    None if into_map => {
                        let mut inner = Value::Object(serde_json::Map::new());
                        put_back(&mut inner, rest, value);
                        if inner.as_object().is_some_and(|object| !object.is_empty()) {
                            object.insert(key.clone(), inner);
                        }
                    }
                    None => {}
                }
            }
        }
        [Step::Index(index, length), rest @ ..] => {
            if let Value::Array(values) = json
                && values.len() == *length
                && let Some(inner) = values.get_mut(*index)
            {
                put_back(inner, rest, value);
            }
        }
        [] => {}
    }
}
