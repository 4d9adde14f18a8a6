//! The resources: one file (or folder) for each noun, with the document, its defaults and what makes it valid.

pub mod app;
pub mod app_server;
pub mod audit_config;
pub mod auth_preference;
pub mod bot;
pub mod bot_instance;
pub mod cert_authority;
pub mod cluster_name;
pub mod lock;
pub mod networking_config;
pub mod role;
pub mod session_recording_config;
#[cfg(test)]
mod tests;
pub mod token;
pub mod user;

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

pub use app::App;
pub use app_server::AppServer;
pub use audit_config::AuditConfig;
pub use auth_preference::AuthPreference;
pub use bot::Bot;
pub use bot_instance::BotInstance;
pub use cert_authority::CertAuthority;
pub use cluster_name::ClusterName;
pub use lock::Lock;
pub use networking_config::NetworkingConfig;
pub use role::Role;
pub use session_recording_config::SessionRecordingConfig;
pub use token::Token;
pub use user::User;

use crate::{Error, Kind, Metadata};

/// What all resources have in common.
pub trait Resource: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The kind of the resource.
    const KIND: Kind;
    /// The version that a new resource gets.
    const VERSION: &'static str;
    /// The versions that are read.
    const VERSIONS: &'static [&'static str];

    /// Name, labels, expiry, revision.
    fn metadata(&self) -> &Metadata;

    /// The same, to be changed.
    fn metadata_mut(&mut self) -> &mut Metadata;

    /// The kind within the kind, mostly empty.
    fn sub_kind(&self) -> &str;

    /// The version of the document.
    fn version(&self) -> &str;

    /// Fills what was left out with what it means. Applying it twice is the same as applying it once.
    fn set_defaults(&mut self);

    /// Checks what a resource must fulfil to be created or changed.
    ///
    /// # Errors
    /// When something is missing, contradictory or out of bounds.
    fn validate(&self) -> Result<(), Error>;

    /// The name of the resource.
    fn name(&self) -> &str {
        &self.metadata().name
    }
}

/// The `kind` of a document: it carries no data, is written as the kind of `T`, and refuses any other when read.
pub struct Tag<T>(PhantomData<fn() -> T>);

impl<T> Clone for Tag<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Tag<T> {}

impl<T> Default for Tag<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> PartialEq for Tag<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T: Resource> fmt::Debug for Tag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::KIND.as_str())
    }
}

impl<T: Resource> Serialize for Tag<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(T::KIND.as_str())
    }
}

impl<'de, T: Resource> Deserialize<'de> for Tag<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match Kind::parse(&word) {
            Some(kind) if kind == T::KIND => Ok(Self::default()),
            _ => Err(serde::de::Error::custom(format_args!("must be {:?}, found {word:?}", T::KIND.as_str()))),
        }
    }
}

/// Declares the outer document of a resource: kind, sub-kind, version, metadata, specification, perhaps status.
macro_rules! resource {
    ($(#[$meta:meta])* $name:ident($kind:ident), $version:literal of [$($known:literal),+], $spec:ident
     $(, status $(#[$smeta:meta])* $status:ty)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Always the kind of this type.
            pub kind: $crate::Tag<$name>,
            /// The kind within the kind, mostly empty.
            #[serde(skip_serializing_if = "String::is_empty")]
            pub sub_kind: String,
            /// The version of the document.
            pub version: String,
            /// Name, labels, expiry, revision.
            pub metadata: $crate::Metadata,
            /// What was asked for.
            pub spec: $spec,
            $(
                /// What the server says about it.
                $(#[$smeta])*
                pub status: $status,
            )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    kind: $crate::Tag::default(),
                    sub_kind: String::new(),
                    version: $version.to_owned(),
                    metadata: $crate::Metadata::default(),
                    spec: $spec::default(),
                    $(status: <$status>::default(),)?
                }
            }
        }

        impl $name {
            /// A document of the newest default version, without defaults filled in.
            pub fn new(name: impl Into<String>, spec: $spec) -> Self {
                Self { metadata: $crate::Metadata::named(name), spec, ..Self::default() }
            }

            /// What holds for every kind: a known version, a name that its table allows, labels in order.
            fn check_header(&self) -> Result<(), $crate::Error> {
                use $crate::Resource as _;
                if !Self::VERSIONS.contains(&self.version.as_str()) {
                    return Err($crate::Error::invalid(format!(
                        "version {:?} of a {} is not known, write {:?}", self.version, Self::KIND, Self::VERSION)));
                }
                $crate::names::check(Self::KIND, &self.metadata.name)?;
                self.metadata.validate()
            }
        }

        impl $crate::Resource for $name {
            const KIND: $crate::Kind = $crate::Kind::$kind;
            const VERSION: &'static str = $version;
            const VERSIONS: &'static [&'static str] = &[$($known),+];

            fn metadata(&self) -> &$crate::Metadata {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut $crate::Metadata {
                &mut self.metadata
            }

            fn sub_kind(&self) -> &str {
                &self.sub_kind
            }

            fn version(&self) -> &str {
                &self.version
            }

            fn set_defaults(&mut self) {
                if self.version.is_empty() {
                    self.version = Self::VERSION.to_owned();
                }
                if let Some(name) = Self::KIND.singleton_name() {
                    self.metadata.name = name.to_owned();
                }
                self.fill();
            }

            fn validate(&self) -> Result<(), $crate::Error> {
                self.check_header()?;
                self.check()
            }
        }
    };
}
pub(crate) use resource;
