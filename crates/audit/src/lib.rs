//! Every audit event, declared once; journal entries, the hash chain, checkpoints, sinks and search.
//!
//! A change and its [`Event`] are committed together: a use case builds the event, [`Recorder::entry`] makes it a
//! journal entry, and the storage batch carries both. Everything else here happens after that commit and may lag.
//!
//! This crate must never know who may read the log, nor gRPC: `auth` decides, `auth-grpc` encodes.

pub mod chain;
pub mod events;
pub mod failed_joins;
pub mod parts;
pub mod search;
pub mod sinks;

mod entry;
mod event;
mod time;

pub use chain::{Chainer, Checkpoint, Signer};
pub use entry::{Entry, ReadError, Recorder};
pub use event::{Declared, Event};
pub use events::{AnyEvent, CATALOGUE};
pub use failed_joins::{FailedJoins, Joiner};
pub use parts::{AppMetadata, ClientMetadata, ConnectionMetadata, ResourceMetadata, Status, UserKind, UserMetadata};
pub use search::{Found, JournalStore, Order, Query, Store};

#[cfg(test)]
mod tests;
