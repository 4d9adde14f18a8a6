//! The handlers, a file for each noun: decode, call `auth`, encode.

pub(crate) mod access;
pub(crate) mod app_sessions;
pub(crate) mod apps;
pub(crate) mod audit_log;
pub(crate) mod authorities;
pub(crate) mod bot_instances;
pub(crate) mod bots;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod cluster_config;
pub(crate) mod inventory;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod later;
pub(crate) mod locks;
pub(crate) mod proxies;
pub(crate) mod public_certificates;
pub(crate) mod revocations;
pub(crate) mod roles;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod tools;
pub(crate) mod users;
pub(crate) mod watch;
pub(crate) mod wire;
