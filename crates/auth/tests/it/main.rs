//! The authority's operations over a store in memory and a clock that the test moves.
#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test may stop, and its futures are not held by the thousand"
)]

mod announcing;
mod app_sessions;
mod apps;
mod audit_log;
mod authorities;
mod bots;
mod cluster_config;
mod decided;
mod harness;
mod hosts;
mod instances;
mod issuing;
mod joining;
mod keys;
mod locks;
mod operations;
mod outside;
mod people;
mod public_certificates;
mod refusals;
mod renewal;
mod roles;
mod start;
mod sweep;
mod tokens;
mod users;
mod watch;
