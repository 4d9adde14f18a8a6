//! A resource as the expression of a list sees it.

use std::collections::BTreeMap;

use domain::Error;
use predicate::{Environment, Expression, Value};
use serde_json::Value as Json;

/// The expression of a list; none when the text is empty.
pub(crate) fn parse(text: &str) -> Result<Option<Expression>, Error> {
    match text {
        "" => Ok(None),
        text => predicate::parse_query(text).map(Some).map_err(|error| Error::invalid(format!("the query: {error}"))),
    }
}

/// Its name, its labels, and its document below `resource`, `metadata`, `spec`, `status`.
pub(crate) struct Document<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) json: Json,
}

impl Document<'_> {
    /// Whether the expression holds. One that has no answer does not.
    pub(crate) fn fits(&self, expression: &Expression) -> bool {
        expression.holds(self).unwrap_or(false)
    }
}

impl Environment for Document<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "name" => return Value::text(self.name),
            "labels" | "metadata.labels" | "resource.metadata.labels" => {
                return Value::Labels(self.labels);
            }
            _ => {}
        }
        let path = name.strip_prefix("resource.").unwrap_or(name);
        let found = path.split('.').try_fold(&self.json, |json, step| json.get(step));
        match found {
            Some(Json::String(text)) => Value::text(text),
            Some(Json::Bool(value)) => Value::Bool(*value),
            Some(Json::Number(number)) => number.as_i64().map_or(Value::Absent, Value::Int),
            Some(Json::Array(items)) => Value::List(items.iter().filter_map(Json::as_str).map(Into::into).collect()),
            // A field that a document leaves out when it is empty.
            None if path.starts_with("metadata.labels.") => {
                let key = path.trim_start_matches("metadata.labels.");
                Value::text(self.labels.get(key).map_or("", String::as_str))
            }
            _ => Value::Absent,
        }
    }
}
