//! The machine identity program: join, renew, write outputs, run services.
//!
//! It must never carry any of the authority's code: what a bot may do is decided elsewhere.

mod authorities;
pub mod config;
pub mod destination;
mod error;
mod identity;
mod impersonation;
pub mod keypair;
pub mod local;
mod metrics;
mod outputs;
pub mod reissue;
pub mod renewal;
mod run;
mod services;
mod wait;

pub use config::{Config, ConfigError, Overrides};
pub use error::BotError;
pub use identity::{BotIdentity, Certificates, IdentityError, State, StateError};
pub use outputs::artifacts;
pub use run::{Bot, run};
pub use wait::wait_until_ready;
