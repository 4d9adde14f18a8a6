//! The whole way through the crate: a tunnel's stream, TLS with a session's certificate, and a small application.

mod application;
mod changes;
mod http;
pub(crate) mod kit;
mod recorder;
mod tcp;
mod trust;
