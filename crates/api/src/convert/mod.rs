//! Documents and their messages, one file for each resource, both ways: `role::to_wire`, `role::from_wire`, ….
//!
//! A message that came in is filled with defaults, because clients other than the official one leave them out; validation is
//! up to whoever stores it. What has no meaning here is refused with the path of the field.

pub mod app;
pub mod app_server;
pub mod audit_config;
pub mod audit_event;
pub mod auth_preference;
pub mod bot;
pub mod bot_instance;
pub mod cert_authority;
pub mod cluster_name;
mod join_attrs;
pub mod lock;
mod metadata;
pub mod networking_config;
pub mod role;
pub mod session_recording_config;
pub mod static_tokens;
#[cfg(test)]
mod tests;
pub mod token;
pub mod user;
pub mod watch;
mod wire;

pub use wire::{Wire, time, timestamp};
