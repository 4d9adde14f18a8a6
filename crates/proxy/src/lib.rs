//! The proxy: one public port, many protocols.
//!
//! [`router`](mod@router) looks at the first bytes of a connection and decides who serves it: connections for the auth
//! service are carried on unread, agents attach to the [`tunnel::Switchboard`], and requests to applications are carried
//! to the agent that serves them. Everything else is the web surface.
//!
//! This crate must never hold what makes it trusted by anybody but its own host certificate: it can fetch a session that
//! somebody has shown it, and neither list nor make any.

mod config;
mod identity;
mod proxy;
mod sessions;
mod web_certificate;

pub use crate::{
    config::{Address, Config, Limits},
    identity::Identity,
    proxy::{Listeners, Ports, Proxy},
    sessions::{AppSession, Sessions},
    web_certificate::{FilesError, KeyPairFiles, WebCertificate},
};
