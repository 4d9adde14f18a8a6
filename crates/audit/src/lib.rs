//! Every audit event, declared once; journal entries, the hash chain, checkpoints, sinks and search.
//!
//! A change and its [`Event`] are committed together: a use case builds the event, [`Recorder::entry`] makes it a
//! journal entry, and the storage batch carries both. Everything else here happens after that commit and may lag.
//!
//! This crate must never know who may read the log, nor gRPC: `auth` decides, `auth-grpc` encodes.

pub mod events;

mod entry;
mod event;
pub mod parts;
mod time;

pub use entry::{Entry, ReadError, Recorder};
pub use event::{Declared, Event};
pub use events::{AnyEvent, CATALOGUE};
pub use parts::{AppMetadata, ClientMetadata, ConnectionMetadata, ResourceMetadata, Status, UserKind, UserMetadata};
