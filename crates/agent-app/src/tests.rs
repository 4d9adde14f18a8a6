//! The whole way through the crate: a tunnel's stream, TLS with a session's certificate, and a small application.

pub(crate) mod kit;
