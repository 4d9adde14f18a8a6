//! The proxy: one public port, many protocols.
//!
//! `router` looks at the first bytes of a connection and decides who serves it: connections for the auth
//! service are carried on unread, agents attach to the [`tunnel::Switchboard`], and requests to applications are carried
//! to the agent that serves them. Everything else is the web surface.
//!
//! This crate must never hold what makes it trusted by anybody but its own host certificate: it can fetch a session that
//! somebody has shown it, and neither list nor make any.

mod acme;
mod applications;
mod body;
mod config;
mod cookies;
mod door;
mod ends;
mod feed;
mod fetch;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
mod http_server;
mod hygiene;
mod identity;
mod metrics;
mod names;
mod pages;
mod peers;
mod proxy;
mod router;
mod sessions;
mod ssh;
mod tasks;
mod tls;
mod tunnels;
mod view;
mod web;
mod web_certificate;

pub use crate::{
    acme::AcmeConfig,
    config::{Address, Config, Limits},
    identity::Identity,
    metrics::Metrics,
    proxy::{Listeners, Ports, Proxy},
    sessions::{AppSession, Holder, Sessions},
    web_certificate::{FilesError, KeyPairFiles, WebCertificate, covers},
};

#[cfg(test)]
mod tests;
