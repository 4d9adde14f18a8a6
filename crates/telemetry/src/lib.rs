//! Logging, the metrics registry (passed in, never global), field names, redaction.
//!
//! The one global thing here is `tracing`'s subscriber, which a process sets once through [`log::init`].
//! This crate must never know what the program is about: components and their names are handed in.

pub mod field;
pub mod log;
pub mod metrics;
pub mod redact;
