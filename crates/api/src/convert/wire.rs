//! How single values travel, and the notation in which the conversion of a message is written: a list of its fields.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Error, Timestamp,
    form::{Bytes, Labels, SecretBytes, SecretText, duration},
};
use prost_types::{Struct, Value, value::Kind};
use serde_json::Map;

use crate::r#gen::{types::BoolValue, wrappers};

/// Seconds of the year 1, which clients send for "no time".
const YEAR_ONE: i64 = -62_135_596_800;

/// A value of ours with its form `W` on the wire.
pub trait Wire<W>: Sized {
    /// The form on the wire.
    fn to_wire(&self) -> W;

    /// Reads the form on the wire.
    ///
    /// # Errors
    /// When it has no meaning here; the text begins with the path inside the message.
    fn from_wire(wire: W) -> Result<Self, Error>;
}

/// Puts the name of a field before what is wrong inside it.
pub(super) fn inside(field: &str, error: Error) -> Error {
    let field = field.trim_start_matches("r#");
    let is_path = error.message.split_once(": ").is_some_and(|(path, _)| !path.contains([' ', '"']));
    let joint = match error.message.as_bytes().first() {
        Some(b'[') if is_path => "",
        _ if is_path => ".",
        _ => ": ",
    };
    Error { message: format!("{field}{joint}{}", error.message), ..error }
}

/// `Ours => Theirs { field, ours = theirs }`: every field of both sides once; `Ours without [a, b]` names those of ours that
/// do not travel.
macro_rules! message {
    ($($ours:ident $(without [$($lost:ident),+])? => $theirs:path { $($field:ident $(= $other:ident)?),* $(,)? })*) => {$(
        impl $crate::convert::wire::Wire<$theirs> for $ours {
            fn to_wire(&self) -> $theirs {
                use $theirs as Message;
                $crate::convert::wire::message!(@build self, Message, [] $($field $(= $other)?,)*)
            }

            fn from_wire(wire: $theirs) -> Result<Self, domain::Error> {
                Ok(Self {
                    $($field: $crate::convert::wire::Wire::from_wire($crate::convert::wire::message!(@get wire $field $($other)?))
                        .map_err(|error| $crate::convert::wire::inside(stringify!($field), error))?,)*
                    $($($lost: Default::default(),)+)?
                })
            }
        }

        impl $crate::convert::wire::Wire<Option<$theirs>> for $ours {
            fn to_wire(&self) -> Option<$theirs> {
                Some($crate::convert::wire::Wire::to_wire(self))
            }

            fn from_wire(wire: Option<$theirs>) -> Result<Self, domain::Error> {
                $crate::convert::wire::Wire::from_wire(wire.unwrap_or_default())
            }
        }
    )*};
    (@build $self:ident, $message:ident, [$($done:tt)*] $field:ident = $other:ident, $($rest:tt)*) => {
        $crate::convert::wire::message!(@build $self, $message,
            [$($done)* $other: $crate::convert::wire::Wire::to_wire(&$self.$field),] $($rest)*)
    };
    (@build $self:ident, $message:ident, [$($done:tt)*] $field:ident, $($rest:tt)*) => {
        $crate::convert::wire::message!(@build $self, $message,
            [$($done)* $field: $crate::convert::wire::Wire::to_wire(&$self.$field),] $($rest)*)
    };
    (@build $self:ident, $message:ident, [$($done:tt)*]) => { $message { $($done)* } };
    (@get $wire:ident $field:ident $other:ident) => { $wire.$other };
    (@get $wire:ident $field:ident) => { $wire.$field };
}
pub(super) use message;

/// A whole resource: `Ours => Theirs` in the older style, with `status` where it has one.
macro_rules! resource {
    ($ours:ident => $theirs:path $(, $status:ident)?) => {
        impl $crate::convert::Wire<$theirs> for $ours {
            fn to_wire(&self) -> $theirs {
                use $theirs as Message;
                Message {
                    kind: <$ours as domain::Resource>::KIND.as_str().to_owned(),
                    sub_kind: self.sub_kind.clone(),
                    version: self.version.clone(),
                    metadata: $crate::convert::Wire::to_wire(&self.metadata),
                    spec: $crate::convert::Wire::to_wire(&self.spec),
                    $($status: $crate::convert::Wire::to_wire(&self.$status),)?
                }
            }

            fn from_wire(wire: $theirs) -> Result<Self, domain::Error> {
                $crate::convert::wire::check_kind(<$ours as domain::Resource>::KIND, &wire.kind)?;
                let mut document = $ours {
                    kind: Default::default(),
                    sub_kind: wire.sub_kind,
                    version: wire.version,
                    metadata: $crate::convert::Wire::from_wire(wire.metadata)
                        .map_err(|error| $crate::convert::wire::inside("metadata", error))?,
                    spec: $crate::convert::Wire::from_wire(wire.spec)
                        .map_err(|error| $crate::convert::wire::inside("spec", error))?,
                    $($status: $crate::convert::Wire::from_wire(wire.$status)
                        .map_err(|error| $crate::convert::wire::inside("status", error))?,)?
                };
                domain::Resource::set_defaults(&mut document);
                Ok(document)
            }
        }

        /// The message of a document.
        #[must_use]
        pub fn to_wire(document: &$ours) -> $theirs {
            $crate::convert::Wire::to_wire(document)
        }

        /// The document of a message, with defaults filled in; it is not validated.
        ///
        /// # Errors
        /// When the message holds something that has no meaning here.
        pub fn from_wire(message: $theirs) -> Result<$ours, domain::Error> {
            $crate::convert::Wire::from_wire(message)
        }
    };
}
pub(super) use resource;

/// Closed lists that travel as numbers.
macro_rules! numbers {
    ($($ours:path),* $(,)?) => {$(
        impl $crate::convert::Wire<i32> for $ours {
            fn to_wire(&self) -> i32 {
                self.number()
            }

            fn from_wire(number: i32) -> Result<Self, domain::Error> {
                Self::from_number(number).ok_or_else(|| domain::Error::invalid(format!("{number} is not known")))
            }
        }
    )*};
}
pub(super) use numbers;

/// Closed lists that travel as words.
macro_rules! words {
    ($($ours:path),* $(,)?) => {$(
        impl $crate::convert::Wire<String> for $ours {
            fn to_wire(&self) -> String {
                self.as_str().to_owned()
            }

            fn from_wire(word: String) -> Result<Self, domain::Error> {
                Self::parse(&word).ok_or_else(|| domain::Error::invalid(format!("{word:?} is not known")))
            }
        }
    )*};
}
pub(super) use words;

/// Clients may leave the kind out; a wrong one is refused.
pub(super) fn check_kind(kind: domain::Kind, found: &str) -> Result<(), Error> {
    if found.is_empty() || domain::Kind::parse(found) == Some(kind) {
        return Ok(());
    }
    Err(Error::invalid(format!("kind: must be {:?}, found {found:?}", kind.as_str())))
}

macro_rules! same {
    ($($plain:ty),*) => {$(
        impl Wire<$plain> for $plain {
            fn to_wire(&self) -> $plain {
                self.clone()
            }

            fn from_wire(wire: $plain) -> Result<$plain, Error> {
                Ok(wire)
            }
        }
    )*};
}
same!(String, bool, i32, i64, u32, u64, f64);

impl<D: Wire<W>, W> Wire<Vec<W>> for Vec<D> {
    fn to_wire(&self) -> Vec<W> {
        self.iter().map(Wire::to_wire).collect()
    }

    fn from_wire(wire: Vec<W>) -> Result<Self, Error> {
        let read = |(at, item)| D::from_wire(item).map_err(|error| inside(&format!("[{at}]"), error));
        wire.into_iter().enumerate().map(read).collect()
    }
}

impl<D: Wire<W>, W> Wire<Option<W>> for Option<D> {
    fn to_wire(&self) -> Option<W> {
        self.as_ref().map(Wire::to_wire)
    }

    fn from_wire(wire: Option<W>) -> Result<Self, Error> {
        wire.map(D::from_wire).transpose()
    }
}

impl<D: Wire<W>, W> Wire<BTreeMap<String, W>> for BTreeMap<String, D> {
    fn to_wire(&self) -> BTreeMap<String, W> {
        self.iter().map(|(key, value)| (key.clone(), value.to_wire())).collect()
    }

    fn from_wire(wire: BTreeMap<String, W>) -> Result<Self, Error> {
        wire.into_iter().map(|(key, value)| Ok((key, D::from_wire(value)?))).collect()
    }
}

impl Wire<BoolValue> for bool {
    fn to_wire(&self) -> BoolValue {
        BoolValue { value: *self }
    }

    fn from_wire(wire: BoolValue) -> Result<Self, Error> {
        Ok(wire.value)
    }
}

impl Wire<Option<prost_types::Timestamp>> for Option<Timestamp> {
    fn to_wire(&self) -> Option<prost_types::Timestamp> {
        self.map(timestamp)
    }

    fn from_wire(wire: Option<prost_types::Timestamp>) -> Result<Self, Error> {
        match wire {
            None => Ok(None),
            Some(time) if time.seconds == YEAR_ONE && time.nanos == 0 => Ok(None),
            Some(time) if !(0..1_000_000_000).contains(&time.nanos) => Err(Error::invalid("is no time")),
            Some(time) => match Timestamp::new(time.seconds, time.nanos) {
                Ok(time) => Ok(Some(time)),
                Err(_) => Err(Error::invalid("is a time out of bounds")),
            },
        }
    }
}

/// A time as a message.
#[must_use]
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // The message counts nanoseconds upwards, also before 1970.
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    let nanos = i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos }
}

/// A time from a message; absent and the year 1 are no time.
///
/// # Errors
/// When it is out of bounds.
pub fn time(wire: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Error> {
    Wire::from_wire(wire)
}

/// The older form of a duration: nanoseconds.
impl Wire<i64> for Duration {
    fn to_wire(&self) -> i64 {
        i64::try_from(self.as_nanos()).unwrap_or(i64::MAX)
    }

    fn from_wire(wire: i64) -> Result<Self, Error> {
        u64::try_from(wire).map(Self::from_nanos).map_err(|_| Error::invalid("must not be negative"))
    }
}

impl Wire<prost_types::Duration> for Duration {
    fn to_wire(&self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: i64::try_from(self.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(self.subsec_nanos()).unwrap_or_default(),
        }
    }

    fn from_wire(wire: prost_types::Duration) -> Result<Self, Error> {
        match (u64::try_from(wire.seconds), u32::try_from(wire.nanos)) {
            (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) => {
                // What was stored with a longer one could not be read any more, nor any list that it stands in.
                let span = Self::new(seconds, nanos);
                if span <= duration::MAX { Ok(span) } else { Err(Error::invalid("is too long, at most 292 years")) }
            }
            _ => Err(Error::invalid("must not be negative")),
        }
    }
}

impl Wire<Option<prost_types::Duration>> for Duration {
    fn to_wire(&self) -> Option<prost_types::Duration> {
        (!self.is_zero()).then(|| self.to_wire())
    }

    fn from_wire(wire: Option<prost_types::Duration>) -> Result<Self, Error> {
        wire.map_or(Ok(Self::ZERO), Wire::from_wire)
    }
}

impl Wire<Vec<u8>> for Bytes {
    fn to_wire(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, Error> {
        Ok(Self(wire))
    }
}

impl Wire<Vec<u8>> for SecretBytes {
    fn to_wire(&self) -> Vec<u8> {
        self.expose().to_vec()
    }

    fn from_wire(wire: Vec<u8>) -> Result<Self, Error> {
        Ok(Self::new(wire))
    }
}

impl Wire<String> for SecretText {
    fn to_wire(&self) -> String {
        self.expose().to_owned()
    }

    fn from_wire(wire: String) -> Result<Self, Error> {
        Ok(Self::new(wire))
    }
}

impl Wire<Option<wrappers::LabelValues>> for BTreeMap<String, Vec<String>> {
    fn to_wire(&self) -> Option<wrappers::LabelValues> {
        let list = |values: &Vec<String>| wrappers::StringValues { values: values.clone() };
        let values: BTreeMap<_, _> = self.iter().map(|(key, values)| (key.clone(), list(values))).collect();
        (!values.is_empty()).then_some(wrappers::LabelValues { values })
    }

    fn from_wire(wire: Option<wrappers::LabelValues>) -> Result<Self, Error> {
        Ok(wire.unwrap_or_default().values.into_iter().map(|(key, list)| (key, list.values)).collect())
    }
}

impl Wire<Option<wrappers::LabelValues>> for Labels {
    fn to_wire(&self) -> Option<wrappers::LabelValues> {
        self.0.to_wire()
    }

    fn from_wire(wire: Option<wrappers::LabelValues>) -> Result<Self, Error> {
        Wire::from_wire(wire).map(Self)
    }
}

impl Wire<Option<wrappers::StringValues>> for Vec<String> {
    fn to_wire(&self) -> Option<wrappers::StringValues> {
        (!self.is_empty()).then(|| wrappers::StringValues { values: self.clone() })
    }

    fn from_wire(wire: Option<wrappers::StringValues>) -> Result<Self, Error> {
        Ok(wire.unwrap_or_default().values)
    }
}

/// Free-form documents; numbers become floating point there, because the message has no other.
impl Wire<Struct> for Map<String, serde_json::Value> {
    fn to_wire(&self) -> Struct {
        Struct { fields: self.iter().map(|(key, value)| (key.clone(), value.to_wire())).collect() }
    }

    fn from_wire(wire: Struct) -> Result<Self, Error> {
        wire.fields.into_iter().map(|(key, value)| Ok((key, Wire::from_wire(value)?))).collect()
    }
}

impl Wire<Option<Struct>> for Map<String, serde_json::Value> {
    fn to_wire(&self) -> Option<Struct> {
        (!self.is_empty()).then(|| self.to_wire())
    }

    fn from_wire(wire: Option<Struct>) -> Result<Self, Error> {
        Wire::from_wire(wire.unwrap_or_default())
    }
}

impl Wire<Value> for serde_json::Value {
    fn to_wire(&self) -> Value {
        let kind = match self {
            Self::Null => Kind::NullValue(0),
            Self::Bool(value) => Kind::BoolValue(*value),
            Self::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
            Self::String(text) => Kind::StringValue(text.clone()),
            Self::Array(items) => {
                Kind::ListValue(prost_types::ListValue { values: items.iter().map(Wire::to_wire).collect() })
            }
            Self::Object(map) => Kind::StructValue(map.to_wire()),
        };
        Value { kind: Some(kind) }
    }

    fn from_wire(wire: Value) -> Result<Self, Error> {
        Ok(match wire.kind {
            None | Some(Kind::NullValue(_)) => Self::Null,
            Some(Kind::BoolValue(value)) => Self::Bool(value),
            Some(Kind::NumberValue(number)) => json_number(number)?,
            Some(Kind::StringValue(text)) => Self::String(text),
            Some(Kind::ListValue(list)) => {
                Self::Array(list.values.into_iter().map(Wire::from_wire).collect::<Result<_, Error>>()?)
            }
            Some(Kind::StructValue(map)) => Self::Object(Wire::from_wire(map)?),
        })
    }
}

/// A whole number stays one, so that documents read the same after a round trip.
fn json_number(number: f64) -> Result<serde_json::Value, Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within what f64 holds exactly")]
    let whole = (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
    match (whole, serde_json::Number::from_f64(number)) {
        (Some(whole), _) => Ok(whole.into()),
        (None, Some(number)) => Ok(serde_json::Value::Number(number)),
        (None, None) => Err(Error::invalid("is no number that a document can hold")),
    }
}
