//! The catalogue: one file per family of events, and one list of them all.

pub mod app;
pub mod audit;
pub mod auth;
pub mod bot;
pub mod cert;
pub mod config;
pub mod join;
pub mod lock;
pub mod proxy;
pub mod role;
pub mod token;
pub mod user;

use serde_json::Value;

use crate::event::{Declared, Event};

/// Lists every event once: the enum of all of them, the catalogue, and the way back from JSON.
macro_rules! catalogue {
    ($($family:ident :: $name:ident),* $(,)?) => {
        /// Any event of the catalogue, as read back from the log.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyEvent {
            $(
                #[doc = concat!("See [`", stringify!($family), "::", stringify!($name), "`].")]
                $name(Box<$family::$name>),
            )*
        }

        /// Every event that this version writes.
        pub const CATALOGUE: &[Declared] = &[$(
            Declared { name: <$family::$name as Event>::NAME, codes: <$family::$name as Event>::CODES },
        )*];

        impl AnyEvent {
            /// Reads an event's own fields; `None` for a type that this version does not know.
            ///
            /// # Errors
            /// The fields are not of the event's types.
            pub fn from_json(name: &str, fields: Value) -> Result<Option<Self>, serde_json::Error> {
                Ok(Some(match name {
                    $(<$family::$name as Event>::NAME => Self::$name(Box::new(serde_json::from_value(fields)?)),)*
                    _ => return Ok(None),
                }))
            }

            /// The event's type.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => <$family::$name as Event>::NAME,)* }
            }

            /// The code that this occurrence carries.
            pub fn code(&self) -> &'static str {
                match self { $(Self::$name(event) => event.code(),)* }
            }
        }

        $(
            impl From<$family::$name> for AnyEvent {
                fn from(event: $family::$name) -> Self {
                    Self::$name(Box::new(event))
                }
            }
        )*
    };
}

catalogue! {
    app::AppCreate, app::AppUpdate, app::AppDelete, app::AppSessionStart, app::AppSessionEnd,
    app::AppSessionChunk, app::AppSessionRequest, app::AppSessionDialDenied,
    audit::Checkpointed, audit::RetentionDropped, audit::RestoreDetected,
    auth::AuthAttempt, auth::AccessDenied,
    bot::BotCreate, bot::BotUpdate, bot::BotDelete, bot::BotInstanceDelete,
    bot::RenewalRepeated, bot::RenewedInGrace, bot::RollbackTolerated,
    cert::CertificateCreate, cert::RenewableCertificateGenerationMismatch,
    cert::AuthorityCreate, cert::AuthorityUpdate, cert::AuthorityDelete, cert::AuthorityExport,
    config::AuthPreferenceUpdate, config::ClusterNetworkingConfigUpdate, config::SessionRecordingConfigUpdate,
    config::ClusterAuditConfigUpdate, config::ClusterInit,
    proxy::PublicCertificateStore, proxy::AcmeAccountStore,
    join::BotJoin, join::InstanceJoin,
    lock::LockCreate, lock::LockDelete,
    role::RoleCreate, role::RoleUpdate, role::RoleDelete,
    token::ProvisionTokenCreate, token::ProvisionTokenUpdate, token::ProvisionTokenDelete, token::UserTokenCreate,
    user::UserCreate, user::UserUpdate, user::UserDelete,
}
