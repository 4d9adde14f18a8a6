//! Small values between the wire and `domain`, and the uniform names of the conversions in `api`.

use std::time::Duration;

use domain::Timestamp;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

/// A time as the wire has it.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// A time from the wire; nothing when it is out of range.
pub(super) fn time(time: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A duration as the wire has it.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// A protobuf Struct as JSON.
pub(super) fn object(object: prost_types::Struct) -> Value {
    Value::Object(object.fields.into_iter().map(|(key, field)| (key, value(field))).collect::<Map<_, _>>())
}

fn value(field: prost_types::Value) -> Value {
    match field.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(inner)) => object(inner),
    }
}

/// A whole number prints without a fraction: all numbers of a Struct are floats.
fn number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and exactly representable")]
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_becomes_an_object() {
        let field = |kind| prost_types::Value { kind: Some(kind) };
        let fields = [
            ("a".to_owned(), field(Kind::NumberValue(3.0))),
            ("b".to_owned(), field(Kind::NumberValue(0.5))),
            ("c".to_owned(), field(Kind::BoolValue(true))),
        ];
        let json = object(prost_types::Struct { fields: fields.into_iter().collect() });
        assert_eq!(json.to_string(), r#"{"a":3,"b":0.5,"c":true}"#);
    }
}
