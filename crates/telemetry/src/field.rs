//! The names of log fields, so that one thing has one name in every line.
//!
//! `tracing`'s macros want names in the source; these constants are for filters, tests and the documentation, and say
//! which spelling is the right one.

/// The part of the program that speaks; shown in brackets in text logs.
pub const COMPONENT: &str = "component";
/// Why it failed, with the whole chain of causes.
pub const ERROR: &str = "error";
/// The address of the other end of a connection.
pub const PEER: &str = "peer";
/// The user or bot user that acts.
pub const USER: &str = "user";
/// The bot.
pub const BOT: &str = "bot";
/// The bot's instance.
pub const INSTANCE: &str = "instance";
/// The join method.
pub const METHOD: &str = "method";
/// A resource as `kind/name`.
pub const RESOURCE: &str = "resource";
/// The supervised task.
pub const TASK: &str = "task";
/// A file or a directory.
pub const PATH: &str = "path";
/// A span of time in milliseconds.
pub const ELAPSED_MS: &str = "elapsed_ms";
/// Tells apart the calls of one connection.
pub const REQUEST: &str = "request";

/// Fields whose value never reaches a log, whoever wrote it there.
pub const SECRET: &[&str] = &[
    "authorization",
    "bearer",
    "cookie",
    "key_pem",
    "passphrase",
    "password",
    "private_key",
    "secret",
    "sealing_key",
    "token",
];
