//! What the system is about: resources with their documents, identities, labels, ids, names, error kinds.
//!
//! Pure: no I/O, no clock, no randomness, never async. It knows neither storage nor the wire; whoever needs the time or a
//! fresh identifier passes it in.

#[macro_use]
mod macros;

pub mod ca;
pub mod document;
pub mod error;
pub mod form;
pub mod identity;
pub mod kind;
pub mod metadata;
pub mod names;
pub mod presets;
pub mod resources;
pub mod role;
pub mod stored;
pub mod suite;

pub use document::{AnyResource, DocumentError, read_documents};
pub use error::Error;
pub use jiff::Timestamp;
pub use kind::Kind;
pub use metadata::Metadata;
pub use resources::{Resource, Tag};
pub use stored::Stored;
