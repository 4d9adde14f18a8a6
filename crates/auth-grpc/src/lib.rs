//! gRPC front of `auth`: authenticates the peer, decodes, calls, encodes. It decides nothing.
//!
//! `table` has a row for each method: who may reach it, which operation it stands for, the handler. What has no row
//! answers UNIMPLEMENTED by name.

pub mod dispatch;
pub mod metadata;
pub mod metrics;
pub mod peer;
mod receive;
pub mod server;
pub mod table;

mod codec;
mod downgrade;
mod services;
mod source;

pub use metrics::Metrics;
pub use server::{Options, ServeError, serve, serve_unix};
