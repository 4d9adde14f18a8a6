//! What every agent is made of: it joins with a token, keeps a host identity and renews it, holds links to the proxies,
//! and says at intervals what it serves.
//!
//! [`Host`] is this machine as the cluster knows it: its identity, which follows renewals, and a client that shows it.
//! [`run`] holds the links and lets [`Service`]s answer the streams that proxies open.
//!
//! This crate must never know what is spoken inside a stream: protocols are `agent-app`, `agent-ssh`, ….

mod config;
mod dial;
mod entry;
mod exchange;
mod heartbeat;
mod host;
mod identity;
mod keep;
mod run;
mod service;
#[cfg(test)]
mod tests;
mod web_name;

pub use crate::{
    config::{Config, Issuer},
    host::Host,
    identity::{Certificates, Identity, IdentityError},
    run::run,
    service::Service,
};
