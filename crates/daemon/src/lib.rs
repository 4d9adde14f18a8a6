//! Composition root of the server: read the file, validate, choose adapters, build, run.
//!
//! The only crate that names a storage or key adapter and that reads the server's environment. It decides nothing
//! about access and speaks no protocol: it hands finished parts to each other.

pub mod config;
pub mod configure;
pub mod data_dir;
