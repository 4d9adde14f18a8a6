//! Audit events: the JSON of the log, the typed messages of the older calls, the free-form ones of the newer.

mod fields;
mod member;

#[cfg(test)]
pub(super) use fields::NAMES;

use domain::Error;
use serde_json::{Map, Value};

use super::wire::Wire;
use crate::r#gen::{events, teleport::auditlog::v1::EventUnstructured};

/// The typed message of an event. `None`: its kind has no typed message, and older clients skip it.
#[must_use]
pub fn to_one_of(json: &Map<String, Value>) -> Option<events::OneOf> {
    let name = json.get("event")?.as_str()?;
    fields::read(name, json).map(|event| events::OneOf { event: Some(event) })
}

/// The JSON of a typed message.
///
/// # Errors
/// When the message carries no event.
pub fn from_one_of(message: &events::OneOf) -> Result<Map<String, Value>, Error> {
    let event = message.event.as_ref().ok_or_else(|| Error::invalid("an audit event of no known kind"))?;
    let mut json = Map::new();
    fields::write(event, &mut json);
    Ok(json)
}

/// The free-form message of an event.
///
/// # Errors
/// When its time cannot be read.
pub fn to_unstructured(json: &Map<String, Value>) -> Result<EventUnstructured, Error> {
    let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = domain::form::time::parse(&text("time")).map_err(|reason| Error::invalid(format!("time: {reason}")))?;
    Ok(EventUnstructured {
        r#type: text("event"),
        id: text("uid"),
        time: time.to_wire(),
        index: json.get("ei").and_then(Value::as_i64).unwrap_or_default(),
        unstructured: Some(json.to_wire()),
    })
}

/// The JSON of a free-form message.
///
/// # Errors
/// When it holds something that JSON has no form for.
pub fn from_unstructured(message: EventUnstructured) -> Result<Map<String, Value>, Error> {
    Wire::from_wire(message.unstructured.unwrap_or_default())
}
