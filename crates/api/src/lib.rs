//! Generated messages and method tables, one conversion file per resource, the single error to status mapping.

pub mod convert;
#[rustfmt::skip]
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "generated from proto/")]
pub mod r#gen;
pub mod methods;
mod not_yet;
mod redacted;
pub mod status;

/// The schema as the code generator saw it: an encoded `google.protobuf.FileDescriptorSet` with imports.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");
