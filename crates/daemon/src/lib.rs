//! Composition root of the server: read the file, validate, choose adapters, build, run.
//!
//! The only crate that names a storage or key adapter and that reads the server's environment. It decides nothing
//! about access and speaks no protocol: it hands finished parts to each other. [`Server::start`] is also how a test
//! starts a cluster in its own process.

mod backend;
pub mod config;
pub mod configure;
pub mod data_dir;
pub mod debug;
mod diagnostics;
mod documents;
mod local_socket;
mod logging;
mod metrics;
mod overrides;
pub mod preflight;
pub mod process;
mod sealing;
mod server;
mod services;
mod settings;
mod static_tokens;
mod writable;

pub use local_socket::admin_socket;
pub use overrides::{AppFlags, Overrides, ROLES};
pub use server::{AroundStore, Environment, Server};
