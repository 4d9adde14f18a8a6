//! Name, labels, expiry and revision, in both styles of resources.

use domain::{Error, Metadata};

use super::wire::Wire;
use crate::r#gen::{teleport::header::v1 as header, types};

/// There is one namespace, and nobody has to name it.
fn check_namespace(namespace: &str) -> Result<(), Error> {
    match namespace {
        "" | "default" => Ok(()),
        other => Err(Error::invalid(format!("namespace: must be \"default\" or left out, found {other:?}"))),
    }
}

macro_rules! metadata {
    ($($theirs:path)*) => {$(
        impl Wire<Option<$theirs>> for Metadata {
            fn to_wire(&self) -> Option<$theirs> {
                use $theirs as Message;
                Some(Message {
                    name: self.name.clone(),
                    namespace: self.namespace.clone(),
                    description: self.description.clone(),
                    labels: self.labels.clone(),
                    expires: self.expires.to_wire(),
                    revision: self.revision.clone(),
                })
            }

            fn from_wire(wire: Option<$theirs>) -> Result<Self, Error> {
                let wire = wire.unwrap_or_default();
                check_namespace(&wire.namespace)?;
                Ok(Self {
                    name: wire.name,
                    namespace: String::new(),
                    description: wire.description,
                    labels: wire.labels,
                    expires: Wire::from_wire(wire.expires).map_err(|error| super::wire::inside("expires", error))?,
                    revision: wire.revision,
                })
            }
        }
    )*};
}

metadata!(types::Metadata header::Metadata);
