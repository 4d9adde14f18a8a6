//! Applications behind an agent: who may reach them, and what goes to them and comes back.
//!
//! [`AppService`] takes the streams of service `app` and lets in only who proves, within the tunnel or by TLS inside, to hold
//! the key of a living application session's certificate, made by the cluster's user authority. It asks `rbac` itself, on
//! every request and whenever something changes, and then forwards: HTTP with headers rewritten, WebSocket, gRPC, TCP.
//!
//! This crate must never believe a proxy in anything but the address of the client: what a session may reach is what auth
//! has signed. It must never know storage, nor sign anything.

mod access;
mod app;
mod assertion;
mod config;
mod connection;
mod dial;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod hosts;
mod labels;
mod liveness;
mod metrics;
pub mod ports;
mod recorder;
mod registry;
mod selector;
mod serve;
mod service;
mod session;
mod slots;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod view;
mod web;

pub use crate::{
    app::{App, DUMPER},
    config::Config,
    hosts::{Blocked, Hosts},
    metrics::Metrics,
    ports::Ports,
    selector::check as check_selector,
    service::{AppService, Me},
    session::Session,
    view::View,
};

/// The name of the service, as proxies ask for it.
pub const SERVICE: &str = tunnel::APPLICATIONS;
