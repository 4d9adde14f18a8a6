//! How a field of a typed event is read from the event's JSON, and written to it.

use std::collections::BTreeMap;

use domain::{Timestamp, form::time, resources::lock::LockTarget};
use prost_types::Struct;
use serde_json::{Map, Value, json};

use crate::{
    convert::wire::Wire,
    r#gen::{types, wrappers},
};

pub(super) type Object = Map<String, Value>;

/// A value under a key. What does not fit is left out: a log may hold events that other versions wrote.
pub(super) trait Member: Sized {
    fn read(value: Option<&Value>) -> Self;
    fn write(&self) -> Option<Value>;
}

/// Several keys that belong together; most lie in the event itself.
pub(super) trait Part: Sized {
    fn read(object: &Object) -> Self;
    fn write(&self, object: &mut Object);
}

macro_rules! scalar {
    ($($type:ty, $read:expr;)*) => {$(
        impl Member for $type {
            fn read(value: Option<&Value>) -> Self {
                value.and_then($read).unwrap_or_default()
            }

            fn write(&self) -> Option<Value> {
                (*self != Self::default()).then(|| json!(self))
            }
        }
    )*};
}

scalar! {
    String, |value| value.as_str().map(str::to_owned);
    bool, Value::as_bool;
    i64, Value::as_i64;
    i32, |value| value.as_i64()?.try_into().ok();
    u32, |value| value.as_u64()?.try_into().ok();
    BTreeMap<String, String>, |value| serde_json::from_value(value.clone()).ok();
}

impl<M: Item> Member for Vec<M> {
    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(M::item).collect()
    }

    fn write(&self) -> Option<Value> {
        (!self.is_empty()).then(|| self.iter().map(Item::value).collect())
    }
}

/// What stands in a list.
pub(super) trait Item: Sized {
    fn item(value: &Value) -> Option<Self>;
    fn value(&self) -> Value;
}

impl Item for String {
    fn item(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn value(&self) -> Value {
        json!(self)
    }
}

impl<P: Part> Item for P {
    fn item(value: &Value) -> Option<Self> {
        value.as_object().map(Self::read)
    }

    fn value(&self) -> Value {
        let mut object = Object::new();
        self.write(&mut object);
        Value::Object(object)
    }
}

impl<P: Part> Member for Option<P> {
    fn read(value: Option<&Value>) -> Self {
        value.and_then(P::item)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().map(Item::value)
    }
}

impl Member for Option<prost_types::Timestamp> {
    fn read(value: Option<&Value>) -> Self {
        let time: Option<Timestamp> = value.and_then(Value::as_str).and_then(|text| time::parse(text).ok()).flatten();
        time.to_wire()
    }

    fn write(&self) -> Option<Value> {
        let time = <Option<Timestamp> as Wire<_>>::from_wire(*self).ok()??;
        Some(json!(time::format(Some(time))))
    }
}

impl Member for Option<Struct> {
    fn read(value: Option<&Value>) -> Self {
        value.and_then(Value::as_object).map(Wire::to_wire)
    }

    fn write(&self) -> Option<Value> {
        let object: Object = Wire::from_wire(self.clone()?).ok()?;
        Some(Value::Object(object))
    }
}

impl Member for Option<wrappers::LabelValues> {
    fn read(value: Option<&Value>) -> Self {
        let traits: BTreeMap<String, Vec<String>> = serde_json::from_value(value?.clone()).ok()?;
        traits.to_wire()
    }

    fn write(&self) -> Option<Value> {
        let traits: BTreeMap<String, Vec<String>> = Wire::from_wire(Some(self.clone()?)).ok()?;
        Some(json!(traits))
    }
}

impl Member for Option<types::LockTarget> {
    fn read(value: Option<&Value>) -> Self {
        let target: LockTarget = serde_json::from_value(value?.clone()).ok()?;
        target.to_wire()
    }

    fn write(&self) -> Option<Value> {
        let target = <LockTarget as Wire<types::LockTarget>>::from_wire(self.clone()?).ok()?;
        serde_json::to_value(target).ok()
    }
}
