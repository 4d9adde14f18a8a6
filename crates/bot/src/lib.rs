//! The machine identity program: join, renew, write outputs, run services.
//!
//! It must never carry any of the authority's code: what a bot may do is decided elsewhere.

pub mod config;
pub mod destination;

pub use config::{Config, ConfigError, Overrides};
