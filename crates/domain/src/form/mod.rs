//! How single values look in documents: durations, times, switches, bytes, labels. Each is read in every spelling of the
//! reference and written in exactly one.

pub mod bytes;
pub mod choice;
pub mod cidr;
pub mod duration;
pub mod labels;
pub mod scalar;
pub mod time;

pub use bytes::{Bytes, SecretBytes, SecretText};
pub use cidr::Cidr;
pub use labels::Labels;

/// Whether a field has its default value, and so is left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
