//! The whole path within one process: a client, the proxy, an agent behind its tunnel, and an application.

#![allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]

mod acme;
mod applications;
mod browsers;
mod cookies;
mod ends;
mod front;
mod grpc;
mod hostile;
mod links;
mod liveness;
mod lost;
mod plain;
mod presence;
mod refusals;
mod scripts;
mod ssh;
mod upgrades;
mod world;
