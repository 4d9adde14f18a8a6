//! What an audit event is, and the macro in which every one of them is declared.

use serde::{Serialize, de::DeserializeOwned};

/// One thing that happened, with the name and the code that log readers filter by.
pub trait Event: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The event's type: the JSON field `event`.
    const NAME: &'static str;
    /// Every code that this event can carry, the ordinary one first.
    const CODES: &'static [&'static str];

    /// The code of this occurrence: the JSON field `code`.
    fn code(&self) -> &'static str;
}

/// A row of the catalogue: an event's name and its possible codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The event's type.
    pub name: &'static str,
    /// The codes it can carry.
    pub codes: &'static [&'static str],
}

/// The type of a part that many events share; JSON-wise its fields lie flat in the event.
macro_rules! part {
    (user) => {
        $crate::parts::UserMetadata
    };
    (resource) => {
        $crate::parts::ResourceMetadata
    };
    (connection) => {
        $crate::parts::ConnectionMetadata
    };
    (status) => {
        $crate::parts::Status
    };
    (app) => {
        $crate::parts::AppMetadata
    };
    (client) => {
        $crate::parts::ClientMetadata
    };
}

/// Declares events: `Name = "type" [codes] (shared parts) { own fields }`.
///
/// With several codes, `by |event| index` says which one an occurrence carries.
macro_rules! events {
    ($(
        $(#[$meta:meta])*
        $name:ident = $event:literal [$($code:literal),+ $(,)?] $(by $pick:expr,)? ($($part:ident),* $(,)?)
        { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? }
    )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                /// Shared part; its fields lie flat in the event.
                #[serde(flatten)]
                pub $part: $crate::event::part!($part),
            )*
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::event::Event for $name {
            const NAME: &'static str = $event;
            const CODES: &'static [&'static str] = &[$($code),+];

            fn code(&self) -> &'static str {
                #[allow(unused_mut, unused_assignments)]
                let mut index = 0;
                $(
                    const PICK: fn(&$name) -> usize = $pick;
                    index = PICK(self);
                )?
                Self::CODES[index]
            }
        }
    )* };
}

pub(crate) use {events, part};
